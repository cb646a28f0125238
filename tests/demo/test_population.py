"""Invented people by the thousand: the same every time, plainly invented, written once and added to."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.app import Gateway, assemble
from gateway.cli import initialise
from gateway.demo.department import answer_from, highest_number, record_people
from gateway.demo.layout import Layout
from gateway.demo.members import CONTACT_ROLES, MEMBERS
from gateway.demo.peopling import count_officers, count_others, write_officers, write_others
from gateway.demo.population import FAMILY_NAMES, PENSIONERS, PRISON_STAFF, RESIDENTS, people_of, staff_of
from gateway.demo.world import WorldTools, build_world
from gateway.identity.accounts import AccountKind, find_account_by_email, list_accounts
from gateway.identity.sign_in import EVERY_KIND, StepRefused
from gateway.sdk.provider import AskedQuestion, Found
from tests.kit.policies import POLICIES

BLOCKS = (RESIDENTS, PENSIONERS, PRISON_STAFF)
SMALL, LARGER = 20_000, 10_000
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture
def layout(tmp_path: Path, database_url: str) -> Layout:
    return Layout(state_dir=tmp_path, policies_dir=POLICIES, database_url=database_url)


@pytest.fixture
def gateway(layout: Layout) -> Iterator[Gateway]:
    initialise(layout.settings())
    assembled = assemble(layout.settings())
    yield assembled
    assembled.database.close()


def tools_of(gateway: Gateway) -> WorldTools:
    return WorldTools(
        database=gateway.database,
        audit=gateway.audit,
        people=gateway.people,
        policy=gateway.policy,
        clock=gateway.clock,
    )


def test_at_the_usual_scale_there_are_the_officers_and_pensioners_of_the_survey() -> None:
    assert sum(1 for member in MEMBERS for _ in staff_of(member, scale=100)) == count_officers(100) == 7_185
    assert sum(1 for _ in people_of(PENSIONERS, scale=100)) == 3_800
    assert count_officers(1) == 718_500
    assert count_officers(0) == count_others(0) == 0


def test_the_same_people_come_every_time_and_at_a_larger_scale_more_of_them() -> None:
    for block in BLOCKS:
        few, many = list(people_of(block, scale=SMALL)), list(people_of(block, scale=500))
        assert few == list(people_of(block, scale=SMALL)) == many[: len(few)]
        assert many[3:] == list(people_of(block, scale=500, beginning=3))
    # As drawn when this was written: another machine, or a later Python, must draw no others.
    first = next(people_of(RESIDENTS, scale=100))
    assert (first.given_name, first.family_name, first.birthdate.isoformat(), first.postcode) == (
        "Pat",
        "Demo 200000",
        "1962-01-01",
        "ZZ35 7BE",
    )


def test_everybody_is_plainly_invented_and_nobody_is_there_twice() -> None:
    people = [person for block in BLOCKS for person in people_of(block, scale=100)]
    assert all(re.fullmatch(rf"(?:{'|'.join(FAMILY_NAMES)}) \d{{6}}", person.family_name) for person in people)
    assert all(re.fullmatch(r"QQ\d{6}[A-D]", person.nino) for person in people)
    assert all(person.postcode.startswith("ZZ") for person in people)
    assert all((person.birthdate.month, person.birthdate.day) in {(1, 1), (2, 29)} for person in people)
    # The number is unique without its last letter, as a real one is.
    assert Counter(person.nino[:8] for person in people).most_common(1)[0][1] == 1


def test_blocks_never_meet_at_full_size() -> None:
    ends = sorted((block.first_nino, block.first_nino + block.full_size) for block in BLOCKS)
    assert all(ends[place][1] <= ends[place + 1][0] for place in range(len(ends) - 1))
    assert ends[0][0] >= 200_000
    assert ends[-1][1] <= 900_000


def test_every_member_has_functions_or_is_small_and_one_reachable_contact_for_each_role() -> None:
    telephones = []
    for number, member in enumerate(MEMBERS):
        contacts = member.registered(number=number, keys=()).contacts
        assert [contact.role for contact in contacts] == [role for role, _ in CONTACT_ROLES]
        assert all(contact.email.endswith(".example") for contact in contacts)
        telephones += [contact.telephone for contact in contacts]
    # Ofcom's ranges for drama.
    assert all(re.fullmatch(r"01632 960\d{3}|020 7946 0\d{3}", telephone) for telephone in telephones)
    assert len(set(telephones)) == len(telephones)
    assert len({member.code for member in MEMBERS}) == len(MEMBERS) == 44


def test_people_are_written_once_added_to_and_cannot_sign_in(gateway: Gateway, layout: Layout) -> None:
    tools = tools_of(gateway)
    with_password = len(build_world(tools, layout))

    def write(scale: int) -> tuple[int, int, int]:
        told: Counter[str] = Counter()
        write_officers(tools, scale=scale, told=lambda done: told.update(officers=done))
        write_others(layout, scale=scale, told=lambda done: told.update(others=done))
        assert told == {"officers": count_officers(scale), "others": count_others(scale)}
        with gateway.database.read() as session:
            accounts = len(list_accounts(session)) - with_password
        pensioners = layout.records_file("mod-jpa")
        highest = highest_number(pensioners, first=PENSIONERS.first_nino, last=PENSIONERS.first_nino + 99_999)
        return accounts, highest or 0, pensioners.stat().st_size

    small = write(SMALL)
    assert small[:2] == (count_officers(SMALL), PENSIONERS.first_nino + PENSIONERS.size(SMALL) - 1)
    assert write(SMALL) == small
    assert write(LARGER)[:2] == (count_officers(LARGER), PENSIONERS.first_nino + PENSIONERS.size(LARGER) - 1)
    officer = next(staff_of(MEMBERS[0], scale=SMALL))
    with gateway.database.read() as session:
        account = find_account_by_email(session, AccountKind.OFFICER, officer.email)
    assert account is not None
    assert (account.name, account.has_security_code) == (f"{officer.given_name} {officer.family_name}", False)
    for password in ("", "password", officer.email):
        step = tools.people.sign_in.offer_password(
            officer.email, password, kinds=EVERY_KIND, browser_secret=None, source="192.0.2.1", now=NOW
        )
        assert isinstance(step, StepRefused)


def test_a_department_answers_about_generated_people_by_the_ladder(tmp_path: Path) -> None:
    database = tmp_path / "dwp.sqlite3"
    record_people(database, people_of(RESIDENTS, scale=SMALL), services=["dwp/electoral-match/v1"])
    person = next(people_of(RESIDENTS, scale=SMALL))

    def asked(**match: str) -> object:
        described = {"family_name": person.family_name, "birthdate": person.birthdate.isoformat(), **match}
        question = AskedQuestion(
            exchange="e",
            service="dwp/electoral-match/v1",
            purpose="electoral-registration",
            agreement="DSA-009",
            consumer=person.area,
            subject={"match": described},
            handle="h",
            fields=("match_level",),
            audience=person.area,
        )
        found = answer_from(database, question.service, question)
        if not isinstance(found, Found):
            return found.reason
        return found.fields["match_level"], found.match_level, found.area

    assert asked(nino=person.nino) == ("exact", "exact", person.area)
    assert asked(nino_fragment=person.nino[4:8]) == ("fair", "fair", person.area)
    assert asked(given_name=person.given_name, postcode=person.postcode) == ("weak", "weak", person.area)
    assert asked(nino="QQ999999C") == "unknown"
