"""Old ranges in files that verify on their own, before a row of theirs is deleted."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.audit.checking.rows import rows_check
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.verify import verify_archive, verify_log
from gateway.audit.errors import DetailsStillKept, LogNotVerified, LogUnreadable, NothingToArchive, NotYetPublished
from gateway.audit.keeping.archive import Archive
from gateway.audit.keeping.classes import periods_with
from gateway.audit.keeping.erase import erase_subject
from gateway.audit.keeping.forget import forget_expired
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.recorded import find_events, is_erased
from gateway.clock import SystemClock
from gateway.wire.notes import parse_verifier_key
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(SystemClock().now())


def archive_of(log: TestLog) -> Archive:
    return Archive(
        database=log.database, audit_log=log.audit, log_dir=log.files, verifier_keys=[parse_verifier_key(log.vkey)]
    )


def write(log: TestLog, folder: Path, *, up_to: int, delete_rows: bool = False) -> tuple[int, int]:
    archived = archive_of(log).write(folder, up_to=up_to, by="O Sample", at=log.clock.now(), delete_rows=delete_rows)
    return archived.first, archived.end


def forget_everything(log: TestLog) -> None:
    with log.database.write() as session:
        forget_expired(
            session,
            log.audit,
            periods=periods_with([]),
            now=log.clock.now() + timedelta(days=9000),
            limit=100_000,
        )


def rows(log: TestLog) -> int:
    with log.database.read() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


def test_an_archive_verifies_on_its_own(log: TestLog, tmp_path: Path) -> None:
    log.record(1000)
    log.publish()
    assert write(log, tmp_path / "first", up_to=600) == (0, 512)
    log.record(300)
    log.publish()
    assert write(log, tmp_path / "second", up_to=1100) == (512, 1024)
    log.files.rename(tmp_path / "away")
    for name, held in (("first", (0, 512, 1000)), ("second", (512, 1024, 1301))):
        verified = verify_archive(FileSource(tmp_path / name), vkey=log.vkey)
        assert (verified.first, verified.end, verified.size) == held
        members = json.loads((tmp_path / name / "range.json").read_bytes())
        assert (members["first"], members["end"], members["size"]) == held


def test_an_altered_archive_does_not_verify(log: TestLog, tmp_path: Path) -> None:
    log.record(600)
    log.publish()
    write(log, tmp_path / "archive", up_to=600)
    bundle = tmp_path / "archive" / "tile/entries/001"
    data = bytearray(bundle.read_bytes())
    data[-2] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(LogNotVerified, match="entry 511"):
        verify_archive(FileSource(tmp_path / "archive"), vkey=log.vkey)


def test_rows_go_only_after_their_details_and_the_log_goes_on(log: TestLog, tmp_path: Path) -> None:
    log.record(700)
    log.publish()
    with pytest.raises(DetailsStillKept, match="entry 0 still has details"):
        write(log, tmp_path / "archive", up_to=600, delete_rows=True)
    assert not (tmp_path / "archive").exists()
    assert rows(log) == 700
    forget_everything(log)
    log.publish()
    write(log, tmp_path / "archive", up_to=600, delete_rows=True)
    assert archive_of(log).delete_archived() == 512
    assert archive_of(log).delete_archived() == 0
    # 188 of the first 700, and the two entries of what was done.
    assert rows(log) == 190
    log.record(400)
    log.publish()
    log.assert_verifies()
    check = rows_check(log.database, audit_log=log.audit)
    assert verify_log(FileSource(log.files), vkey=log.vkey, check_entries=check).size == 1102
    with log.database.read() as session:
        assert len(find_events(session, limit=500)) == 500
        assert session.get_one(LogHeadRow, 1).archived_size == 512


def test_a_row_lost_above_the_archived_range_is_still_noticed(log: TestLog, tmp_path: Path) -> None:
    log.record(700)
    log.publish()
    write(log, tmp_path / "archive", up_to=600)
    with log.database.write() as session:
        session.delete(session.scalars(select(EventRow).where(EventRow.leaf_index == 512)).one())
    with pytest.raises(LogNotVerified, match="entry 512"):
        verify_log(FileSource(log.files), vkey=log.vkey, check_entries=rows_check(log.database))


def test_what_was_done_to_the_log_stays_in_the_database(log: TestLog, tmp_path: Path) -> None:
    log.record(100)
    key = log.subject_keys.key_for("person-1")
    erase_subject(log.database, log.audit, subject="person-1", by="O Sample", reason="asked", at=log.clock.now())
    log.record(600)
    log.publish()
    forget_everything(log)
    log.publish()
    write(log, tmp_path / "archive", up_to=600, delete_rows=True)
    assert archive_of(log).delete_archived() == 511
    with log.database.read() as session:
        assert is_erased(session, key.key_id)


def test_the_last_published_bundle_is_left_so_that_the_sequencer_can_go_on(log: TestLog, tmp_path: Path) -> None:
    log.record(512)
    log.publish()
    forget_everything(log)
    assert write(log, tmp_path / "archive", up_to=512, delete_rows=True) == (0, 256)
    archive_of(log).delete_archived()
    log.publish()
    log.assert_verifies()


def test_the_archive_is_itself_an_entry(log: TestLog, tmp_path: Path) -> None:
    log.record(300)
    log.publish()
    write(log, tmp_path / "archive", up_to=300)
    with log.database.read() as session:
        [event] = find_events(session, names=["audit.range.archived"])
        details = log.audit.details_of(session, event.event_id)
    assert (details["first"], details["end"], details["size"], details["rows_deleted"]) == (0, 256, 300, False)
    assert details["by"] == "O Sample"


def test_what_cannot_be_archived_is_refused_and_changes_nothing(log: TestLog, tmp_path: Path) -> None:
    with pytest.raises(NotYetPublished):
        write(log, tmp_path / "archive", up_to=0)
    log.record(300)
    log.publish()
    with pytest.raises(NotYetPublished, match="only 300"):
        write(log, tmp_path / "archive", up_to=301)
    with pytest.raises(NothingToArchive):
        write(log, tmp_path / "archive", up_to=255)
    (tmp_path / "archive").mkdir()
    with pytest.raises(LogUnreadable, match="new folder"):
        write(log, tmp_path / "archive", up_to=300)
    assert rows(log) == 300


def test_a_damaged_log_is_not_archived(log: TestLog, tmp_path: Path) -> None:
    log.record(300)
    log.publish()
    bundle = log.files / "tile/entries/000"
    data = bytearray(bundle.read_bytes())
    data[-2] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(LogNotVerified, match="entry 255"):
        write(log, tmp_path / "archive", up_to=300)
    with log.database.read() as session:
        assert session.get_one(LogHeadRow, 1).archived_size == 0


def test_a_date_becomes_the_first_entry_of_that_day(log: TestLog) -> None:
    beginning = log.clock.now()
    for _ in range(5):
        log.record(3)
        log.clock.advance(days=1)
    log.publish()
    archive = archive_of(log)
    assert [archive.end_before(beginning + timedelta(days=day, hours=-1)) for day in range(7)] == [
        0, 3, 6, 9, 12, 15, 15
    ]  # fmt: skip
