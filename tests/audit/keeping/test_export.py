"""The log written out: proofs that an outsider can check line by line, and events as security tools know them."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from gateway.audit.append import Event
from gateway.audit.errors import LogNotVerified
from gateway.audit.events import EVENTS
from gateway.audit.keeping.erase import erase_subject
from gateway.audit.keeping.export import Format, export_lines
from gateway.audit.keeping.published import PublishedLog
from gateway.audit.keeping.reading import account_for
from gateway.audit.recorded import find_events
from gateway.wire.encoding import b64_decode
from gateway.wire.leaves import parse_leaf
from gateway.wire.merkle import leaf_hash, verify_inclusion
from gateway.wire.notes import open_checkpoint, parse_verifier_key
from tests.kit.log import TestLog

ECS = json.loads(Path(__file__).with_name("ecs-8.12.json").read_bytes())
HOSTILE = "A\u202eB\x00C\nD\ud800E\x1b[2J"


def published(log: TestLog) -> PublishedLog:
    return PublishedLog(log.files, verifier_keys=(parse_verifier_key(log.vkey),))


def lines(
    log: TestLog, form: Format = Format.JSONL, *, first: int = 0, end: int | None = None, details: bool = False
) -> list[dict[str, Any]]:
    reader = None
    if details:
        reading = Event(name="audit.details.read", outcome="done", members=(), details={"by": "O Sample"})
        reader = account_for(log.audit, reading, at=log.clock.now())
    source = published(log)
    size = source.checkpoint.size if end is None else end
    written = list(export_lines(source, log.database, form=form, first=first, end=size, reader=reader))
    assert all(line.isascii() and line.endswith("\n") and line.count("\n") == 1 for line in written)
    return [json.loads(line) for line in written]


def test_an_outsider_checks_every_line_with_the_key_alone(log: TestLog) -> None:
    entries = log.record(600)
    log.publish()
    heading, *rows = lines(log, first=250, end=520)
    checkpoint = open_checkpoint(heading["checkpoint"].encode(), [parse_verifier_key(log.vkey)])
    assert (heading["first"], heading["end"], heading["details"], checkpoint.size) == (250, 520, False, 600)
    assert [row["index"] for row in rows] == list(range(250, 520))
    for row in rows:
        leaf = b64_decode(row["leaf"])
        verify_inclusion(
            leaf_hash(leaf),
            index=row["index"],
            size=checkpoint.size,
            proof=[b64_decode(item) for item in row["inclusion_proof"]],
            root=checkpoint.root,
        )
        assert leaf == entries[row["index"]].leaf
        assert row["entry"]["event_id"] == parse_leaf(leaf).event_id
        assert "details" not in row


def test_an_altered_entry_is_never_written_out(log: TestLog) -> None:
    log.record(300)
    log.publish()
    bundle = log.files / "tile/entries/000"
    data = bytearray(bundle.read_bytes())
    data[-2] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(LogNotVerified, match="entry 255"):
        lines(log)


def test_details_are_written_only_after_the_reading_is_recorded(log: TestLog) -> None:
    log.record(3)
    log.publish()
    _heading, *rows = lines(log, details=True)
    assert [row["details_state"] for row in rows] == ["kept"] * 3
    assert rows[0]["details"] == {"fields_disclosed": ["eligible"], "purpose": "free-school-meals"}
    with log.database.read() as session:
        assert len(find_events(session, names=["audit.details.read"])) == 1


def test_what_nobody_can_read_any_more_is_said_to_be_so(log: TestLog) -> None:
    log.record(2)
    log.record(1, subject="person-2")
    log.publish()
    erase_subject(log.database, log.audit, subject="person-1", by="O Sample", reason="asked", at=log.clock.now())
    _heading, *rows = lines(log, details=True)
    assert [(row["details_state"], bool(row["details"])) for row in rows] == [
        ("erased", False),
        ("erased", False),
        ("kept", True),
    ]


@pytest.mark.parametrize("form", Format)
def test_nothing_in_a_line_can_mislead_its_reader(form: Format, log: TestLog) -> None:
    log.record(details={"case_reference": HOSTILE, "reason": HOSTILE, "officer_name": "Siân"})
    log.publish()
    text = json.dumps(lines(log, form, details=True), ensure_ascii=False)
    assert not [character for character in HOSTILE if not character.isascii() and character in text]
    assert "\x1b" not in text
    assert "\\x00" not in text
    assert "A\\\\u202eB" in text


# --- Mappings, held against what is published


def filled(name: str) -> Mapping[str, Any]:
    """Details of an event with everything that it may carry."""
    special: dict[str, Any] = {
        "count": 7,
        "size": 9,
        "first": 0,
        "end": 9,
        "roles": ["auditor"],
        "rules": [{"code": "no_agreement", "rule": "agreement"}],
        "amr": ["pwd", "otp"],
        "source": "127.0.0.1",
        "officer": None,
        "fields_requested": ["eligible"],
        "active": True,
    }
    return {field: special.get(field, f"a {field}") for field in EVENTS[name].fields}


@pytest.fixture
def everything(log: TestLog) -> TestLog:
    """A log with every event there is, with every outcome, with and without what it may carry."""
    for name, event in EVENTS.items():
        for outcome in event.outcomes:
            for details in ({}, filled(name)):
                log.record(name=name, outcome=outcome, details=details)
                log.record(name=name, outcome=outcome, details=details, members=(), reference="exchange-1")
    log.publish()
    return log


@cache
def ocsf_validator(class_uid: int) -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.5.0"))
    return Draft202012Validator(schema.get_class_schema(schema.lookup_class_name_from_uid(class_uid)))


def test_every_event_is_valid_ocsf(everything: TestLog) -> None:
    for details in (False, True):
        events = lines(everything, Format.OCSF, details=details)
        assert len(events) >= 4 * len(EVENTS)
        for event in events:
            faults = [error.message for error in ocsf_validator(event["class_uid"]).iter_errors(event)]
            assert not faults, (event["metadata"]["event_code"], faults)
            assert event["metadata"]["version"] == "1.5.0"
            assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]


def test_an_attribute_that_ocsf_does_not_have_would_be_noticed(everything: TestLog) -> None:
    event = lines(everything, Format.OCSF)[0]
    assert [*ocsf_validator(event["class_uid"]).iter_errors(event | {"purpose": "x"})]
    assert [*ocsf_validator(event["class_uid"]).iter_errors(event | {"severity_id": "1"})]


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_every_event_is_ecs_with_one_name_of_our_own(everything: TestLog) -> None:
    for details in (False, True):
        for document in lines(everything, Format.ECS, details=details):
            document.pop("gateway")
            for name, value in flat(document):
                assert name in ECS["fields"], name
                assert isinstance(value, list) == (name in ECS["arrays"]), name
                if name in ECS["values"]:
                    assert {*(value if isinstance(value, list) else [value])} <= set(ECS["values"][name]), (name, value)


@pytest.mark.parametrize("form", [Format.OCSF, Format.ECS])
def test_a_failure_is_told_from_a_success_and_a_person_only_with_details(form: Format, log: TestLog) -> None:
    log.record(name="identity.sign_in.failed", outcome="refused", details={"account": "account-1"}, members=())
    log.record(name="identity.officer.signed_in", outcome="done", details={"account": "account-1"})
    log.publish()
    failed, signed_in = lines(log, form)
    if form is Format.OCSF:
        assert [event["status_id"] for event in (failed, signed_in)] == [2, 1]
        assert [event["type_uid"] for event in (failed, signed_in)] == [300201, 300201]
    else:
        assert [document["event"]["outcome"] for document in (failed, signed_in)] == ["failure", "success"]
    assert "account-1" not in json.dumps([failed, signed_in])
    assert "account-1" in json.dumps(lines(log, form, details=True))
