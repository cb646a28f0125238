"""`gateway members`: what an organisation does and how it is reached, as an operator writes and reads it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.audit.append import AuditLog
from gateway.audit.recorded import find_events
from gateway.audit.subject_keys import SubjectKeys
from gateway.db import Database
from gateway.directory.commands import MembersContext, members_group
from tests.kit.clock import FrozenClock

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DESK = ("--contact", "Incident desk", "incidents@wigan.example", "01632 960001")


@pytest.fixture
def context(database: Database, tmp_path: Path) -> MembersContext:
    audit = AuditLog(database=database, subject_keys=SubjectKeys(tmp_path / "subject-keys"))
    return MembersContext(database=database, audit=audit, clock=FrozenClock(NOW))


def run(context: MembersContext, *arguments: str) -> Result:
    return CliRunner().invoke(members_group(lambda: context), arguments)


def add(context: MembersContext, *more: str) -> Result:
    return run(context, "add", "E08000010", "--name", "Wigan Council", "--kind", "council", *more)


def test_functions_and_contacts_are_shown_as_they_were_given(context: MembersContext) -> None:
    assert add(context, "--function", "council tax", "--function", "parking permits", *DESK).exit_code == 0
    shown = json.loads(run(context, "show", "E08000010").output)
    assert shown["functions"] == ["council tax", "parking permits"]
    assert shown["contacts"] == [
        {"role": "Incident desk", "email": "incidents@wigan.example", "telephone": "01632 960001"}
    ]
    [listed] = json.loads(run(context, "list", "--json").output)
    assert (listed["functions"], listed["contacts"]) == (["council tax", "parking permits"], 1)


def test_a_change_replaces_what_is_given_keeps_the_rest_and_is_in_the_log(context: MembersContext) -> None:
    add(context, "--function", "council tax", *DESK)
    changed = run(context, "describe", "E08000010", "--contact", "Incident desk", "duty@wigan.example", "01632 960002")
    assert changed.exit_code == 0, changed.output
    shown = json.loads(run(context, "show", "E08000010").output)
    assert shown["functions"] == ["council tax"]
    assert [contact["email"] for contact in shown["contacts"]] == ["duty@wigan.example"]
    with context.database.read() as session:
        newest = find_events(session, names=["directory.member.registered"], limit=1)[0]
        details = context.audit.details_of(session, newest.event_id)
    assert details["contacts"] == ["Incident desk: duty@wigan.example, 01632 960002"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--contact", "Incident desk", "not an address", "01632 960001"), "is not an e-mail address"),
        (("--contact", "Incident desk", "incidents@wigan.example", "ask Olive"), "is not a telephone number"),
        (("--contact", " ", "incidents@wigan.example", "01632 960001"), "--contact takes"),
        ((*DESK, "--contact", "incident DESK", "x@wigan.example", "01632 960002"), "names a role twice"),
        (("--function", "council\ntax"), "--function takes"),
        ((), "give --function"),
    ],
)
def test_what_cannot_be_a_contact_or_function_changes_nothing(
    context: MembersContext, arguments: tuple[str, ...], words: str
) -> None:
    add(context, "--function", "council tax", *DESK)
    before = run(context, "show", "E08000010").output
    refused = run(context, "describe", "E08000010", *arguments)
    assert (refused.exit_code, words in refused.output) == (1, True), refused.output
    assert run(context, "show", "E08000010").output == before
