"""`gateway objections` and `gateway restrictions`: who is entered is found, and no file, table or event names them."""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from gateway.app import Gateway
from gateway.audit.recorded import find_events
from gateway.identity.accounts import AccountKind, NewAccount, record_account
from gateway.identity.passwords import generate_password
from gateway.sharing.exchange.models import ObjectionRow, RestrictionRow
from gateway.sharing.exchange.people.commands import PeopleContext, objections_group, restrictions_group
from gateway.sharing.exchange.people.objections import objections_of
from gateway.sharing.exchange.people.restrictions import is_restricted
from gateway.sharing.exchange.people.subjects import Translator
from gateway.sharing.exchange.schemas import SubjectByMatch
from tests.kit.agreements import Members, shipped_document
from tests.kit.clock import MIDDAY

OPT_OUT = "national-data-opt-out"
NEW = "--new-list"  # no agreement is recorded here
WHY = ["--by", "A Sample", "--reason", "letter 17"]
ADA = {"family_name": "Testcase", "birthdate": "1988-01-01", "nino": "QQ123456C"}
ADA_OPTIONS = ["--family-name", "Testcase", "--birthdate", "1988-01-01", "--nino", "QQ123456C"]
BEN = {"family_name": "Sample", "birthdate": "1992-02-29", "nino": "QQ123457A"}
ANYBODY_NAMED = re.compile(r"testcase|sample|QQ1234|1988|1992|people\.example", re.IGNORECASE)


def translator(gateway: Gateway) -> Translator:
    return Translator(pairwise=gateway.people.pairwise, references=gateway.people.references)


def run(gateway: Gateway, group: str, *arguments: str | Path) -> Result:
    def context() -> PeopleContext:
        return PeopleContext(
            database=gateway.database, audit=gateway.audit, clock=gateway.clock, translator=translator(gateway)
        )

    command: click.Group = objections_group(context) if group == "objections" else restrictions_group(context)
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def references(gateway: Gateway, description: Mapping[str, str]) -> tuple[str, ...]:
    with gateway.database.read() as session:
        # Described by attributes, nobody's caller is looked at.
        subject = translator(gateway).translate(session, SubjectByMatch(attributes=description), caller=None)  # type: ignore[arg-type]
    return subject.references


def objects(gateway: Gateway, description: Mapping[str, str]) -> bool:
    with gateway.database.read() as session:
        return bool(objections_of(session, subjects=references(gateway, description), lists=[OPT_OUT]))


def restricted(gateway: Gateway, description: Mapping[str, str], service: str = "any/service/v1") -> bool:
    with gateway.database.read() as session:
        return is_restricted(session, subjects=references(gateway, description), service=service)


def details(gateway: Gateway, name: str) -> list[dict[str, object]]:
    with gateway.database.read() as session:
        events = find_events(session, names=[name], limit=10)
        return [dict(gateway.audit.details_of(session, event.event_id)) for event in reversed(events)]


def test_one_person_is_added_found_and_removed(gateway: Gateway) -> None:
    assert run(gateway, "objections", "add", OPT_OUT, NEW, *ADA_OPTIONS, *WHY).exit_code == 0
    again = run(gateway, "objections", "add", OPT_OUT, NEW, *ADA_OPTIONS, *WHY)
    assert (again.exit_code, "already" in again.output) == (0, True)
    assert objects(gateway, ADA)
    assert objects(gateway, {"family_name": "TESTCASE", "birthdate": "1988-01-01", "postcode": "ZZ9 9ZZ"})
    assert not objects(gateway, BEN)
    listed = json.loads(run(gateway, "objections", "list", "--json").output)
    assert [(row["list"], row["names"]) for row in listed] == [(OPT_OUT, 3)]
    assert run(gateway, "objections", "remove", OPT_OUT, *ADA_OPTIONS, *WHY).exit_code == 0
    assert not objects(gateway, ADA)
    gone = run(gateway, "objections", "remove", OPT_OUT, *ADA_OPTIONS, *WHY)
    assert (gone.exit_code, "nobody" in gone.output) == (1, True)
    counts = [(each["added"], each["removed"]) for each in details(gateway, "sharing.objections.changed")]
    assert counts == [(1, 0), (0, 0), (0, 1)]


def test_neither_table_nor_event_nor_output_names_anybody(gateway: Gateway) -> None:
    outputs = [
        run(gateway, "objections", "add", OPT_OUT, NEW, *ADA_OPTIONS, "--by", "B", "--reason", "letter"),
        run(gateway, "restrictions", "add", *ADA_OPTIONS, "--by", "B", "--reason", "letter"),
    ]
    with gateway.database.read() as session:
        rows = [
            *(vars(row) for row in session.scalars(select(ObjectionRow))),
            *(vars(row) for row in session.scalars(select(RestrictionRow))),
        ]
    written = [details(gateway, name) for name in ("sharing.objections.changed", "sharing.restrictions.changed")]
    assert all(len(each) == 1 for each in written)
    shown = repr(rows) + repr(written) + "".join(result.output for result in outputs)
    assert not ANYBODY_NAMED.search(shown.replace("gateway.sharing", ""))


def test_a_file_is_imported_and_replaces_whoever_is_not_in_it(gateway: Gateway, tmp_path: Path) -> None:
    run(gateway, "objections", "add", OPT_OUT, NEW, *ADA_OPTIONS, *WHY)
    file = tmp_path / "people.csv"
    file.write_text("nino,family_name,birthdate\nQQ123457A,Sample,1992-02-29\n,Specimen,1979-01-01\n", "utf-8")
    refused = run(gateway, "objections", "import", OPT_OUT, NEW, file, *WHY)
    assert (refused.exit_code, "line 3: Give the whole NINO" in refused.output) == (1, True)
    assert not objects(gateway, BEN)
    assert run(gateway, "objections", "import", OPT_OUT, NEW, file, "--without-number", *WHY).exit_code == 0
    assert [objects(gateway, one) for one in (ADA, BEN)] == [True, True]
    gateway.clock.advance(seconds=5)  # type: ignore[attr-defined]
    replaced = run(gateway, "objections", "import", OPT_OUT, NEW, file, "--replace", "--without-number", *WHY)
    assert replaced.exit_code == 0, replaced.output
    assert [objects(gateway, one) for one in (ADA, BEN)] == [False, True]
    assert objects(gateway, {"family_name": "Specimen", "birthdate": "1979-01-01"})
    last = details(gateway, "sharing.objections.changed")[-1]
    assert (last["added"], last["removed"]) == (2, 3)


def test_a_list_that_no_agreement_names_is_refused_as_misspelt(gateway: Gateway, tmp_path: Path) -> None:
    members = Members(audit=gateway.audit)
    with gateway.database.write() as session:
        members.record(session)
        heeding = shipped_document(conditions={"objection_lists": [OPT_OUT]})
        members.import_(session, heeding, signatures={})
    file = tmp_path / "people.csv"
    file.write_text("nino\nQQ123457A\n", "utf-8")
    for command, who in (("add", ADA_OPTIONS), ("import", [file])):
        refused = run(gateway, "objections", command, "national-data-optout", *who, *WHY)
        assert refused.exit_code == 1
        assert f"agreements name {OPT_OUT}" in refused.output
        assert "--new-list" in refused.output
    with gateway.database.read() as session:
        assert session.scalars(select(ObjectionRow)).all() == []
    assert details(gateway, "sharing.objections.changed") == []
    # Nobody signed it yet: who objects is entered before it is in force.
    assert run(gateway, "objections", "add", OPT_OUT, *ADA_OPTIONS, *WHY).exit_code == 0
    assert run(gateway, "objections", "import", OPT_OUT, file, *WHY).exit_code == 0
    early = run(gateway, "objections", "add", "next-year", NEW, *ADA_OPTIONS, *WHY)
    assert (early.exit_code, "nothing heeds it" in early.output) == (0, True)
    listed = json.loads(run(gateway, "objections", "list", "--json").output)
    assert [row["list"] for row in listed] == [OPT_OUT, "next-year"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nino\nQQ123457A\nnonsense\n", "line 3: nino"),
        ("nino,family_name\nQQ123457A,Sample\n,Sample\n", "line 3: Give a NINO"),
        ("family_name,birthdate\nSample,29/02/1992\n", "line 2: birthdate"),
        ("family_name,birthdate\nSample,1992-02-29,more\n", "line 2: not as many"),
        ("nino,nhs_number\nQQ123457A,1\n", "line 1: the heading"),
        ("nino,nino\nQQ123457A,QQ123457A\n", "line 1: the heading"),
        ("", "line 1: the heading"),
        ("nino_fragment,family_name,birthdate\n45,Sample,1992-02-29\n", "line 2: nino_fragment"),
    ],
)
def test_a_file_with_a_mistake_anywhere_changes_nothing(gateway: Gateway, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text, "utf-8")
    result = run(gateway, "objections", "import", OPT_OUT, NEW, file, *WHY)
    assert result.exit_code == 1
    assert said in result.output
    assert not re.search("1992|QQ1234|nonsense", result.output)
    with gateway.database.read() as session:
        assert session.scalars(select(ObjectionRow)).all() == []
    assert details(gateway, "sharing.objections.changed") == []


@pytest.mark.parametrize(
    "who",
    [[], ["--family-name", "Testcase"], ["--nino", "QQ12"], ["--birthdate", "1988-13-01", "--family-name", "Testcase"]],
)
def test_whoever_is_not_named_is_not_added(gateway: Gateway, who: list[str]) -> None:
    for group, command in (("objections", ["add", OPT_OUT, NEW]), ("restrictions", ["add"])):
        assert run(gateway, group, *command, *who, *WHY).exit_code == 1
    assert run(gateway, "objections", "add", "two words", *ADA_OPTIONS, *WHY).exit_code == 2


@pytest.mark.parametrize("number", [[], ["--nino-fragment", "3456"]])
def test_nobody_is_entered_without_their_number_unless_it_is_said(gateway: Gateway, number: list[str]) -> None:
    """Another letter in the name would walk around such an entry."""
    names = ["--family-name", "Testcase", "--birthdate", "1988-01-01", *number]
    commands = (["objections", "add", OPT_OUT, NEW], ["restrictions", "add"])
    for command in commands:
        refused = run(gateway, *command, *names, *WHY)
        assert (refused.exit_code, "--without-number" in refused.output) == (1, True)
    assert not objects(gateway, ADA)
    assert not restricted(gateway, ADA)
    for command in commands:
        assert run(gateway, *command, *names, "--without-number", *WHY).exit_code == 0
    assert objects(gateway, ADA)
    assert restricted(gateway, ADA)


def test_a_citizen_is_named_by_the_address_of_their_account(gateway: Gateway) -> None:
    with gateway.database.write() as session:
        new = NewAccount(
            kind=AccountKind.CITIZEN,
            email="ada@people.example",
            given_name="Ada",
            family_name="Testcase",
            password=generate_password(),
            birthdate=date(1988, 1, 1),
        )
        account = record_account(
            session, new, passwords=gateway.people.passwords, sealing=gateway.people.sealing, at=MIDDAY
        )
    by_email = ["restrictions", "add", "--without-number", "--email"]
    assert run(gateway, "restrictions", "add", "--email", "ada@people.example", *WHY).exit_code == 1
    assert run(gateway, *by_email, "ada@people.example", *WHY).exit_code == 0
    by_account = gateway.people.references.reference_of_account(account.account_id)
    with gateway.database.read() as session:
        assert is_restricted(session, subjects=[by_account], service="any/service/v1")
    assert restricted(gateway, ADA), "described by attributes the same person is restricted"
    assert run(gateway, "restrictions", "lift", "--email", "ada@people.example", *WHY).exit_code == 0
    assert not restricted(gateway, ADA)
    assert run(gateway, *by_email, "nobody@people.example", *WHY).exit_code == 1


def test_a_restriction_may_be_for_one_service_that_there_is(gateway: Gateway) -> None:
    unknown = run(gateway, "restrictions", "add", *ADA_OPTIONS, "--service", "no/such/v1", *WHY)
    assert (unknown.exit_code, "no service" in unknown.output) == (1, True)
    assert not restricted(gateway, ADA)
    assert run(gateway, "restrictions", "add", *ADA_OPTIONS, *WHY).exit_code == 0
    assert restricted(gateway, {**ADA, "given_name": "Somebody", "postcode": "ZZ1 1ZZ"})
    assert not restricted(gateway, BEN)
    assert json.loads(run(gateway, "restrictions", "list", "--json").output) == [{"service": "*", "names": 3}]
