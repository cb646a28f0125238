"""Writes the invented people at a scale: officers into the gateway, everybody else into departments' databases.

What is there already stays: a second run adds nothing, and one at a larger scale adds the rest.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from gateway.demo.department import highest_number, record_people, services_of
from gateway.demo.layout import Layout
from gateway.demo.members import MEMBERS, DemoMember
from gateway.demo.people import SyntheticPerson
from gateway.demo.population import PENSIONERS, PRISON_STAFF, RESIDENTS, Block, people_of, staff_of
from gateway.demo.world import BY, WorldTools
from gateway.identity.accounts import AccountKind, existing_emails
from gateway.identity.registration import register_accounts

AT_ONCE = 500
Told = Callable[[int], None]
"""Told how many more are done; may raise to stop, between two people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Which people a department knows: those of the blocks for whom `knows` holds."""

    member: str
    blocks: tuple[Block, ...]
    knows: Callable[[SyntheticPerson], bool] = lambda _person: True


RECORDS = (
    Records(member="dwp", blocks=(RESIDENTS, PENSIONERS)),
    Records(member="hmrc", blocks=(RESIDENTS, PENSIONERS)),
    Records(member="moj", blocks=(RESIDENTS,), knows=lambda person: person.access_code is not None),
    Records(member="defra", blocks=(RESIDENTS,), knows=lambda person: person.number % 50 == 0),
    Records(member="mod-jpa", blocks=(PENSIONERS,)),
    Records(member="hmps", blocks=(PRISON_STAFF,)),
)


def count_officers(scale: int) -> int:
    """How many officers there are at this scale."""
    return sum(member.staff // scale if scale else 0 for member in MEMBERS)


def count_others(scale: int) -> int:
    """How many people departments hold records of at this scale, each counted once for each department."""
    return sum(block.size(scale) for records in RECORDS for block in records.blocks)


def write_officers(tools: WorldTools, *, scale: int, told: Told) -> None:
    """Write the officers that are missing, some hundreds in one transaction."""
    for member in MEMBERS:
        _write_staff(tools, member, scale=scale, told=told)


def write_others(layout: Layout, *, scale: int, told: Told) -> None:
    """Write the people that are missing in the departments' databases."""
    for records in RECORDS:
        path, services = layout.records_file(records.member), services_of(records.member)
        for block in records.blocks:
            last = block.first_nino + block.full_size - 1
            highest = highest_number(path, first=block.first_nino, last=last)
            beginning = 0 if highest is None else highest - block.first_nino + 1
            told(min(beginning, block.size(scale)))
            people = _counted(people_of(block, scale=scale, beginning=beginning), told)
            record_people(path, filter(records.knows, people), services=services)


def _write_staff(tools: WorldTools, member: DemoMember, *, scale: int, told: Told) -> None:
    staff = staff_of(member, scale=scale)
    while batch := list(islice(staff, AT_ONCE)):
        with tools.database.write() as session:
            there = existing_emails(session, AccountKind.OFFICER, [new.email for new in batch])
            missing = [new for new in batch if new.email not in there]
            if missing:
                register_accounts(session, missing, people=tools.people, audit=tools.audit, by=BY, at=tools.clock.now())
        told(len(batch))


def _counted(people: Iterable[SyntheticPerson], told: Told) -> Iterator[SyntheticPerson]:
    for person in people:
        told(1)
        yield person
