"""Invented people by the thousand: the same ones every time, and at a larger scale the same ones and more.

Each is drawn by their number alone, so that nothing but numbers has to be agreed on between departments. Blocks of
National Insurance numbers (the six digits after QQ) keep the groups apart up to full size; those made by hand have
numbers below and above the blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from gateway.demo.drawing import Draw
from gateway.demo.members import MEMBERS, DemoMember
from gateway.demo.people import SyntheticPerson
from gateway.identity.accounts import AccountKind, NewAccount

USUAL_SCALE = 100
FAMILY_NAMES = ("Testcase", "Sample", "Specimen", "Demo")
GIVEN_NAMES = (
    "Ada Ben Cleo Dee Eli Fay Gus Hal Ida Jon Kit Lou Mae Ned Oli Pat Quin Ray Sue Tom Una Val Wyn Zoe".split()  # noqa: SIM905 - a list of words
)
LEAP = 4
ROLES_OF = {"department": "caseworker", "agency": "caseworker", "shared-service centre": "personnel-officer"}
STAFF_WHO_ASK = 25
"""One of so many members of staff has a role here; the others are known, and may ask for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A group of people: how many at full size (1:1), and the first of their National Insurance numbers' digits."""

    name: str
    full_size: int
    first_nino: int
    born: tuple[int, int]

    def size(self, scale: int) -> int:
        """How many there are at a scale of 1 to `scale`; 0 is none."""
        return self.full_size // scale if scale else 0


RESIDENTS = Block(name="residents", full_size=250_000, first_nino=200_000, born=(1940, 2005))
PENSIONERS = Block(name="pensioners", full_size=380_000, first_nino=450_000, born=(1931, 1966))
PRISON_STAFF = Block(name="prison staff", full_size=48_000, first_nino=830_000, born=(1962, 2004))
_COUNCILS = tuple(member.code for member in MEMBERS if member.kind == "council")


def people_of(block: Block, *, scale: int, beginning: int = 0) -> Iterator[SyntheticPerson]:
    """Draw the people of a block from the one numbered `beginning` on."""
    for number in range(beginning, block.size(scale)):
        yield _person(block, number)


def staff_of(member: DemoMember, *, scale: int) -> Iterator[NewAccount]:
    """Draw a member's officers: known by name and role, without a password, so that none of them can sign in."""
    for number in range(member.staff // scale if scale else 0):
        drawn = Draw(f"{member.code} {number}")
        asks = number % STAFF_WHO_ASK == 0
        yield NewAccount(
            kind=AccountKind.OFFICER,
            email=f"staff-{number:06}@{member.domain}",
            given_name=drawn.choice(GIVEN_NAMES),
            family_name=f"{drawn.choice(FAMILY_NAMES)} {number:06}",
            password=None,
            member_code=member.code,
            roles=(ROLES_OF[member.kind],) if asks else (),
        )


def _person(block: Block, number: int) -> SyntheticPerson:
    drawn = Draw(f"{block.name} {number}")
    year = drawn.between(*block.born)
    eligible = drawn.chance(in_a_thousand=300)
    digits = block.first_nino + number
    return SyntheticPerson(
        number=digits,
        family_name=f"{drawn.choice(FAMILY_NAMES)} {digits:06}",
        given_name=drawn.choice(GIVEN_NAMES),
        # A leap day or New Year's Day: a date of birth that looks invented.
        birthdate=date(year, 2, 29) if year % LEAP == 0 and drawn.chance(in_a_thousand=500) else date(year, 1, 1),
        nino=f"QQ{digits:06}{'ABCD'[digits % 4]}",
        eligible=eligible,
        tier=drawn.choice(("targeted", "expanded")) if eligible else None,
        award_amount=drawn.between(30_000, 120_000) if eligible else 0,
        withheld=drawn.chance(in_a_thousand=2),
        postcode=f"ZZ{drawn.between(1, 99)} {drawn.below(10)}{drawn.choice('ABDEFGHJ')}{drawn.choice('ABDEFGHJ')}",
        area=drawn.choice(_COUNCILS),
        access_code=f"V{digits:012}" if number % 20 == 0 else None,
    )
