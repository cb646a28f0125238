"""What enters the log, what is refused, and what the public part gives away."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from gateway.audit.append import Event
from gateway.audit.errors import (
    DetailsAltered,
    DetailsErased,
    EntryTooLarge,
    EventNotFound,
    EventRefused,
    UnknownEvent,
)
from gateway.audit.models import EventRow
from gateway.db import new_id
from gateway.wire.encoding import b64url_decode
from gateway.wire.leaves import parse_leaf
from gateway.wire.merkle import leaf_hash
from tests.kit.log import TestLog, an_event

LARGEST_ENTRY = 65_535


def rows(log: TestLog) -> int:
    with log.database.read() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


def test_an_event_and_what_it_records_commit_together_or_not_at_all(log: TestLog) -> None:
    class SomethingFailed(Exception):
        pass

    def record_and_fail() -> None:
        with log.database.write() as session:
            log.audit.append(session, an_event(), at=log.clock.now())
            raise SomethingFailed

    with pytest.raises(SomethingFailed):
        record_and_fail()
    assert rows(log) == 0

    [entry] = log.record()
    log.publish()
    log.assert_verifies([entry], exactly=True)


def test_the_leaf_says_what_happened_when_between_whom(log: TestLog) -> None:
    [entry] = log.record(reference="exchange-1")
    leaf = parse_leaf(entry.leaf)
    assert (leaf.event, leaf.outcome, leaf.members, leaf.reference, leaf.at) == (
        "sharing.record.disclosed",
        "disclosed",
        ("E06000008", "dwp"),
        "exchange-1",
        "2026-03-02T12:00:00.000Z",
    )
    assert leaf.event_id == str(entry.event_id)
    assert entry.leaf_hash == leaf_hash(entry.leaf)


def test_details_come_back_as_they_went_in(log: TestLog) -> None:
    details = {"purpose": "free-school-meals", "rules": [{"code": "no_agreement", "about": None}], "officer": "Siân"}
    [entry] = log.record(details=details)
    with log.database.read() as session:
        assert log.audit.details_of(session, entry.event_id) == details


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "sharing.record.lost"},
        {"outcome": "refused"},
        {"details": {"password": "…"}},
    ],
    ids=["name", "outcome", "detail"],
)
def test_what_the_registry_does_not_hold_is_refused(log: TestLog, wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownEvent):
        log.record(**wrong)
    assert rows(log) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": ("dwp\n",)},
        {"members": ("dw\u202ep",)},
        {"members": ("",)},
        {"reference": "an exchange"},
        {"reference": "x" * 201},
        {"reference": "exch\u0430nge"},
        {"details": {"purpose": float("nan")}},
        {"details": {"purpose": object()}},
        {"details": {"purpose": 2**60}},
    ],
    ids=["newline", "bidi", "empty", "space", "long", "look-alike", "nan", "object", "integer beyond JSON"],
)
def test_a_public_part_that_is_not_plain_and_details_that_are_not_json_are_refused(
    log: TestLog, wrong: dict[str, Any]
) -> None:
    with pytest.raises(EventRefused):
        log.record(**wrong)
    assert rows(log) == 0


def test_details_cannot_mislead_whoever_reads_them(log: TestLog) -> None:
    [entry] = log.record(details={"case_reference": "A\u202eB\x00C\nD\ud800E"})
    with log.database.read() as session:
        read = log.audit.details_of(session, entry.event_id)
    assert read == {"case_reference": "A\\u202eB\\u0000C\\u000aD\\ud800E"}


def test_an_entry_of_65535_bytes_is_recorded_and_one_more_byte_is_refused(log: TestLog) -> None:
    [small] = log.record(members=("m",))
    one_more = len('"",')
    room = LARGEST_ENTRY - len(small.leaf)
    # Member codes of 200 characters, and a last one that fills the entry to the byte.
    codes, rest = divmod(room, 200 + one_more)
    members = ("m", *["c" * 200] * (codes - 1), "d" * 150, "e" * (200 + one_more + rest - one_more - 150 - one_more))
    assert all(len(member) <= 200 for member in members)
    [largest] = log.record(members=members)
    assert len(largest.leaf) == LARGEST_ENTRY
    with pytest.raises(EntryTooLarge):
        log.record(members=(*members[:-1], members[-1] + "e"))
    assert rows(log) == 2
    log.publish()
    log.assert_verifies([small, largest], exactly=True)


def test_oversized_details_are_refused(log: TestLog) -> None:
    with pytest.raises(EntryTooLarge):
        log.record(details={"reason": "x" * 262_144})
    assert rows(log) == 0


def test_no_dictionary_opens_the_public_leaf(log: TestLog) -> None:
    """Everything but two digits of a NINO is known; trying all of them against leaf and hash finds nothing."""
    narrowed = "QQ1234{:02d}C"
    secret = narrowed.format(56)
    details = {"subject": secret, "purpose": "free-school-meals"}
    [first] = log.record(details=details, subject=secret)
    [second] = log.record(details=details, subject=secret)
    public = first.leaf + first.leaf_hash
    committed = b64url_decode(parse_leaf(first.leaf).commitment)

    for guess in (narrowed.format(number) for number in range(100)):
        for text in (guess, guess.lower()):
            assert text.encode() not in public
        spelled = [
            guess.encode(),
            b'{"purpose":"free-school-meals","subject":"%s"}' % guess.encode(),
            b'{"subject":"%s"}' % guess.encode(),
            first.event_id.bytes + guess.encode(),
            str(first.event_id).encode() + b'{"purpose":"free-school-meals","subject":"%s"}' % guess.encode(),
        ]
        for text_bytes in spelled:
            for prefix in (b"", b"\x00", b"\x00" * 16):
                assert hashlib.sha256(prefix + text_bytes).digest() not in (committed, first.leaf_hash)
    # Nor can two events about one person be linked by what they commit to.
    assert parse_leaf(first.leaf).commitment != parse_leaf(second.leaf).commitment


def test_details_at_rest_are_unreadable_without_the_keys(log: TestLog) -> None:
    [entry] = log.record(details={"subject": "QQ123456C"}, subject="QQ123456C")
    with log.database.read() as session:
        row = session.get_one(EventRow, entry.event_id)
        stored = b"|".join([row.details, row.leaf, row.subject_tag.encode(), row.key_id])
    assert b"QQ123456C" not in stored
    assert hashlib.sha256(b"QQ123456C").hexdigest() != row.subject_tag


def test_destroying_a_persons_key_erases_their_details_and_nothing_else(log: TestLog) -> None:
    [erased] = log.record(subject="person-1")
    [kept] = log.record(subject="person-2")
    log.publish()
    assert log.subject_keys.destroy("person-1")
    assert not log.subject_keys.destroy("person-1")
    [afterwards] = log.record(subject="person-1")
    log.publish()
    with log.database.read() as session:
        with pytest.raises(DetailsErased):
            log.audit.details_of(session, erased.event_id)
        assert log.audit.details_of(session, kept.event_id)
        assert log.audit.details_of(session, afterwards.event_id)
    log.assert_verifies([erased, kept, afterwards], exactly=True)


def test_altered_details_are_noticed(log: TestLog) -> None:
    [entry] = log.record()
    [other] = log.record()
    with log.database.write() as session:
        taken = session.get_one(EventRow, other.event_id).details
        session.execute(update(EventRow).where(EventRow.id == entry.event_id).values(details=taken))
    with log.database.read() as session, pytest.raises(DetailsAltered):
        log.audit.details_of(session, entry.event_id)


def test_details_that_do_not_open_the_commitment_in_the_leaf_are_noticed(log: TestLog) -> None:
    [entry] = log.record()
    [other] = log.record(details={"purpose": "blue-badge"})
    committed, others = parse_leaf(entry.leaf).commitment.encode(), parse_leaf(other.leaf).commitment.encode()
    with log.database.write() as session:
        leaf = entry.leaf.replace(committed, others)
        session.execute(update(EventRow).where(EventRow.id == entry.event_id).values(leaf=leaf))
    with log.database.read() as session, pytest.raises(DetailsAltered):
        log.audit.details_of(session, entry.event_id)


def test_an_unknown_event_has_no_details(log: TestLog) -> None:
    with log.database.read() as session, pytest.raises(EventNotFound):
        log.audit.details_of(session, new_id())


def test_what_holds_personal_data_is_not_shown_in_representations() -> None:
    shown = repr(Event(name="n", outcome="o", members=(), details={"subject": "QQ123456C"}, subject="QQ123456C"))
    assert "QQ123456C" not in shown


def test_a_flood_of_noise_costs_a_bounded_number_of_entries(log: TestLog) -> None:
    with log.database.write() as session:
        for number in range(2000):
            source = f"10.{number // 250}.{number % 250}.1"
            log.audit.count_noise(session, source=source, code="unknown_client", at=log.clock.now())
        for number in range(500):
            source = f"2001:db8::{number:x}"
            log.audit.count_noise(session, source=source, code="unknown_path", at=log.clock.now())
    with log.database.write() as session:
        assert log.audit.flush_noise(session, now=log.clock.now()) == 0, "the minute is not over"
    later = log.clock.advance(minutes=1)
    with log.database.write() as session:
        entries = log.audit.flush_noise(session, now=later)
    assert entries == 64 + 1 + 1
    with log.database.write() as session:
        assert log.audit.flush_noise(session, now=later + timedelta(minutes=5)) == 0

    log.publish()
    leaves = log.assert_verifies()
    assert {(leaf.event, leaf.members, leaf.reference) for leaf in leaves} == {("audit.noise.counted", (), None)}
    with log.database.read() as session:
        details = [log.audit.details_of(session, row) for row in session.scalars(select(EventRow.id))]
    counted = sum(item["count"] for item in details if item["code"] == "unknown_client")
    assert counted == 2000
    # One IPv6 subscriber is one source, whichever of its addresses it uses.
    [subscriber] = [item for item in details if item["code"] == "unknown_path"]
    assert subscriber["count"] == 500
    assert not any("10." in str(item["source"]) or "2001" in str(item["source"]) for item in details)
