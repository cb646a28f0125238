"""Details are kept for their class's time and then forgotten; the entries stay."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select

from gateway.audit.append import Entry
from gateway.audit.errors import DetailsExpired, DetailsLost
from gateway.audit.keeping.classes import PERIODS, REASONS, Retention, periods_with
from gateway.audit.keeping.forget import forget_expired
from gateway.audit.models import EventRow
from gateway.audit.recorded import find_events
from gateway.clock import SystemClock
from gateway.errors import SettingsError
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog

EXPIRED = "audit.details.expired"


@pytest.fixture
def clock() -> FrozenClock:
    # Ids are made by the machine's clock, and what is forgotten is found by them.
    return FrozenClock(SystemClock().now())


def forget(log: TestLog, *, after: timedelta, limit: int = 1000, **periods: str) -> int:
    chosen: Mapping[Retention, timedelta | None] = periods_with(f"{name}={days}" for name, days in periods.items())
    with log.database.write() as session:
        return forget_expired(session, log.audit, periods=chosen, now=log.clock.now() + after, limit=limit)


def kept(log: TestLog) -> int:
    with log.database.read() as session:
        return session.scalar(select(func.count()).where(EventRow.details != b"", EventRow.name != EXPIRED)) or 0


def read(log: TestLog, entry: Entry) -> object:
    with log.database.read() as session:
        return log.audit.details_of(session, entry.event_id)


def told(log: TestLog) -> list[dict[str, object]]:
    with log.database.read() as session:
        return [log.audit.details_of(session, event.event_id) for event in find_events(session, names=[EXPIRED])]


def test_details_go_when_their_time_is_over_and_not_before(log: TestLog) -> None:
    [sharing] = log.record()
    [noise] = log.record(name="audit.noise.counted", outcome="counted", details={"count": 3}, subject=None, members=())
    log.publish()
    assert forget(log, after=timedelta(days=89)) == 0
    assert forget(log, after=timedelta(days=91)) == 1
    with pytest.raises(DetailsExpired):
        read(log, noise)
    assert read(log, sharing)
    assert forget(log, after=timedelta(days=6.9 * 365)) == 0
    assert forget(log, after=timedelta(days=7.1 * 365)) == 1
    with pytest.raises(DetailsExpired):
        read(log, sharing)
    log.publish()
    log.assert_verifies([sharing, noise])


def test_what_was_forgotten_is_counted_in_the_log(log: TestLog) -> None:
    log.record(3)
    log.record(2, name="sharing.record.refused", outcome="refused")
    now: datetime = log.clock.now()
    assert forget(log, after=timedelta(days=3000)) == 5
    [details] = told(log)
    assert details["counts"] == {"sharing.record.disclosed": 3, "sharing.record.refused": 2}
    assert list(details["before"]) == ["disclosures"]  # type: ignore[call-overload]
    assert details["before"]["disclosures"][:10] == (now + timedelta(days=3000 - 2557)).isoformat()[:10]  # type: ignore[index]
    # Nothing left to forget leaves no entry.
    assert forget(log, after=timedelta(days=3000)) == 0
    assert len(told(log)) == 1


def test_a_backlog_is_forgotten_in_bounded_batches_to_the_last_one(log: TestLog) -> None:
    log.record(25)
    taken = []
    while done := forget(log, after=timedelta(days=3000), limit=10):
        taken.append(done)
    assert taken == [10, 10, 5]
    assert kept(log) == 0


def test_each_day_what_is_due_that_day_is_forgotten(log: TestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning = log.clock.now()
    for day in range(6):
        log.clock.advance(days=1)
        # An id made twenty hours before or after its event: the clocks of two nodes may differ.
        made_at = log.clock.now() + timedelta(hours=20 if day % 2 else -20)
        monkeypatch.setattr("gateway.audit.append.new_id", lambda made_at=made_at: id_of(made_at))
        log.record(day + 1)
    monkeypatch.undo()
    log.clock.now = lambda: beginning  # type: ignore[method-assign]
    due = [forget(log, after=timedelta(days=2557 + day, hours=1)) for day in range(1, 8)]
    assert due == [1, 2, 3, 4, 5, 6, 0]
    assert kept(log) == 0


def test_a_clock_that_was_ahead_once_keeps_nothing_for_ever(log: TestLog) -> None:
    """What it forgot too early is gone; what comes once the clock is right again goes when it is due."""
    log.record()
    assert forget(log, after=timedelta(days=2557 + 365)) == 1
    log.record(2)
    assert forget(log, after=timedelta(days=2556)) == 0
    assert forget(log, after=timedelta(days=2558)) == 2
    assert kept(log) == 0


def id_of(moment: datetime) -> UUID:
    return UUID(int=int(moment.timestamp() * 1000) << 80 | secrets.randbits(62))


def test_what_was_done_to_the_log_is_kept_for_ever(log: TestLog) -> None:
    log.record()
    forget(log, after=timedelta(days=3000))
    assert forget(log, after=timedelta(days=300_000)) == 0
    assert len(told(log)) == 1


def test_an_operator_chooses_other_times(log: TestLog) -> None:
    log.record()
    assert forget(log, after=timedelta(days=29), disclosures="30") == 0
    assert forget(log, after=timedelta(days=31), disclosures="30") == 1


def test_a_row_made_again_from_the_published_log_says_that_its_details_are_lost(log: TestLog) -> None:
    [entry] = log.record()
    with log.database.write() as session:
        row = session.get_one(EventRow, entry.event_id)
        row.details, row.key_id, row.subject_tag = b"", b"", ""
    with pytest.raises(DetailsLost):
        read(log, entry)


@pytest.mark.parametrize(
    "wrong", ["disclosures", "disclosures=", "disclosures=0", "disclosures=-1", "disclosures=1.5", "log=30", "all=30"]
)
def test_a_period_that_makes_no_sense_is_refused(wrong: str) -> None:
    with pytest.raises(SettingsError):
        periods_with([wrong])


def test_every_class_has_a_period_and_a_reason() -> None:
    assert set(PERIODS) == set(REASONS) == set(Retention)
