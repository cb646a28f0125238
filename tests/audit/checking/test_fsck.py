"""The operator's check: every fault of the store is listed with its index, and nothing is changed."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from gateway.audit.checking.faults import FaultKind
from gateway.audit.checking.fsck import Findings, Store, fsck
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.trust import read_checkpoint, trust_in
from gateway.audit.keeping.erase import erase_subject
from gateway.audit.models import EventRow, LogHeadRow
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import Checkpoint
from tests.kit.log import TestLog

SIZE = 600


@pytest.fixture
def sound(log: TestLog) -> TestLog:
    log.record(300)
    log.publish()
    log.record(SIZE - 300)
    log.publish()
    return log


def checked(log: TestLog, *, since: int | None = None, remembered: Checkpoint | None = None) -> Findings:
    store = Store(
        database=log.database,
        log_dir=log.files,
        trust=trust_in([log.vkey]),
        audit_log=log.audit,
        private_dirs=(log.directory / "subject-keys",),
    )
    return fsck(store, now=log.clock.now(), since=since, remembered=remembered)


def places(found: Findings) -> set[tuple[FaultKind, int | None]]:
    return {(fault.kind, fault.index) for fault in found.faults}


def flip(path: Path, at: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sound_store_has_no_fault_and_stays_as_it_is(sound: TestLog) -> None:
    sound.subject_keys.destroy("person-1")
    sound.record(2)
    before = content(sound.files), content(sound.directory / "subject-keys")
    found = checked(sound)
    assert (found.faults, found.remarks) == ([], [])
    assert found.checkpoint is not None
    assert found.checkpoint.size == SIZE
    assert (content(sound.files), content(sound.directory / "subject-keys")) == before


def test_a_gateway_that_has_published_nothing_is_sound(log: TestLog) -> None:
    assert checked(log).faults == []
    log.record(1)
    assert checked(log).faults == []


def test_everything_wrong_is_listed_not_only_the_first(sound: TestLog) -> None:
    flip(sound.files / "tile/entries/000", 40)
    (sound.files / "tile/0/002.p/88").unlink()
    with sound.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index == 310))
        session.execute(update(EventRow).where(EventRow.leaf_index == 320).values(details=b"\x00" * 60))
        session.execute(update(EventRow).where(EventRow.leaf_index == 330).values(leaf=b"{}"))
        session.execute(update(EventRow).where(EventRow.leaf_index == 340).values(outcome="refused"))
    found = checked(sound)
    assert places(found) >= {
        (FaultKind.ENTRY, 0),
        (FaultKind.MISSING, 512),
        (FaultKind.ROW, 310),
        (FaultKind.DETAILS, 320),
        (FaultKind.ROW, 330),
        (FaultKind.ROW, 340),
    }
    assert {fault.index for fault in found.faults} <= {0, 310, 320, 330, 340, 512, None}


@pytest.mark.parametrize("column", ["name", "outcome", "reference", "occurred_at"])
def test_what_auditors_search_by_must_be_what_was_published(sound: TestLog, column: str) -> None:
    with sound.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == 17)).one()
        changed = row.occurred_at + timedelta(hours=1) if column == "occurred_at" else "another"
        setattr(row, column, changed)
    [fault] = checked(sound).faults
    assert (fault.index, column in fault.text) == (17, True)


def test_two_swapped_rows_are_both_named(sound: TestLog) -> None:
    with sound.database.write() as session:
        for old, new in ((7, -1), (400, 7), (-1, 400)):
            session.execute(update(EventRow).where(EventRow.leaf_index == old).values(leaf_index=new))
    assert places(checked(sound)) == {(FaultKind.ROW, 7), (FaultKind.ROW, 400)}


def test_a_database_older_than_the_log_is_named_by_the_first_entry_it_lost(sound: TestLog) -> None:
    with sound.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index >= 590))
        session.execute(update(LogHeadRow).values(size=590, published_size=300))
    faults = checked(sound).faults
    assert (faults[0].kind, faults[0].index) == (FaultKind.HEAD, 590)
    assert "600 entries were published, but the database holds only 590" in faults[0].text


def test_files_older_than_the_database_are_told(sound: TestLog) -> None:
    older = (sound.files / "checkpoint").read_bytes()
    sound.record(10)
    sound.publish()
    (sound.files / "checkpoint").write_bytes(older)
    found = checked(sound)
    assert (FaultKind.HEAD, SIZE) in places(found)


def test_a_missing_or_damaged_checkpoint_does_not_end_the_check(sound: TestLog) -> None:
    flip(sound.files / "tile/entries/001", 40)
    flip(sound.files / "checkpoint", 20)
    assert places(checked(sound)) >= {(FaultKind.CHECKPOINT, None), (FaultKind.ENTRY, 256)}
    (sound.files / "checkpoint").unlink()
    assert places(checked(sound)) >= {(FaultKind.MISSING, None), (FaultKind.ENTRY, 256)}


def test_a_row_numbered_beyond_the_log_and_events_left_waiting_are_found(sound: TestLog) -> None:
    sound.record(2)
    with sound.database.write() as session:
        waiting = session.scalars(select(EventRow).where(EventRow.leaf_index.is_(None)).order_by(EventRow.id)).all()
        waiting[0].leaf_index = 900
    sound.clock.advance(seconds=11)
    found = checked(sound)
    assert places(found) == {(FaultKind.ROW, 900), (FaultKind.ROW, SIZE)}
    assert "events without an index beyond the merge delay: 1" in found.faults[-1].text


def test_entries_that_are_numbered_and_not_published_are_found_once_they_are_late(sound: TestLog) -> None:
    sound.record(1)
    with sound.database.write() as session:
        session.scalars(select(EventRow).where(EventRow.leaf_index.is_(None))).one().leaf_index = SIZE
        session.get_one(LogHeadRow, 1).size = SIZE + 1
    assert not checked(sound).faults
    sound.clock.advance(seconds=11)
    found = checked(sound)
    assert places(found) == {(FaultKind.ROW, SIZE)}
    assert f"entries {SIZE} to {SIZE} are not published yet" in found.faults[-1].text


def test_numbered_entries_that_are_not_published_yet_must_be_there(sound: TestLog) -> None:
    with sound.database.write() as session:
        session.execute(update(LogHeadRow).values(size=SIZE + 3))
    [fault] = checked(sound).faults
    assert (fault.kind, fault.index) == (FaultKind.ROW, SIZE)


def test_rows_of_archived_entries_may_be_gone(sound: TestLog) -> None:
    with sound.database.write() as session:
        session.execute(update(LogHeadRow).values(archived_size=512))
        session.execute(delete(EventRow).where(EventRow.leaf_index < 512))
    assert checked(sound).faults == []
    with sound.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index == 512))
    assert places(checked(sound)) == {(FaultKind.ROW, 512)}


@pytest.mark.parametrize(
    ("name", "kind", "index"),
    [
        ("tile/0/000.p/99", FaultKind.TILE, 0),  # an earlier partial tile that does not begin the full one
        ("tile/entries/001.p/3", FaultKind.ENTRY, 256),
        ("tile/0/002.p/89", FaultKind.STRAY, 512),  # beyond the log
        ("tile/entries/003", FaultKind.STRAY, 768),
        ("tile/0/2", FaultKind.STRAY, None),
        ("tile/notes.txt", FaultKind.STRAY, None),
        ("backup.tar", FaultKind.STRAY, None),
    ],
)
def test_a_file_that_does_not_belong_is_named(sound: TestLog, name: str, kind: FaultKind, index: int | None) -> None:
    target = sound.files / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"\x01" * 32 * 99)
    assert places(checked(sound)) == {(kind, index)}


def test_earlier_partial_tiles_that_begin_the_full_ones_are_in_order(sound: TestLog) -> None:
    assert (sound.files / "tile/0/001.p/44").exists(), "the tile of the first checkpoint is still served"
    flip(sound.files / "tile/0/001.p/44", 5)
    assert places(checked(sound)) == {(FaultKind.TILE, 256)}


def test_a_leftover_of_an_interrupted_write_is_remarked_and_no_fault(sound: TestLog) -> None:
    (sound.files / "tile/0/.000.1f2e3d4c.new").write_bytes(b"half")
    found = checked(sound)
    assert (found.fault_count, len(found.remarks)) == (0, 1)


@pytest.mark.parametrize(
    "open_up",
    [
        lambda log: next((log.directory / "subject-keys").rglob("*/*")).chmod(0o640),
        lambda log: (log.directory / "subject-keys").chmod(0o755),
        lambda log: (log.files / "tile/0/000").chmod(0o666),
    ],
    ids=["a key", "the folder of keys", "a tile that everybody can write"],
)
def test_what_others_may_read_or_write_is_named(sound: TestLog, open_up: Callable[[TestLog], None]) -> None:
    open_up(sound)
    assert {fault.kind for fault in checked(sound).faults} == {FaultKind.PERMISSIONS}


def test_a_damaged_key_is_named_with_the_entry_it_locks(sound: TestLog) -> None:
    keys = [path for path in (sound.directory / "subject-keys").rglob("*/*") if path.is_file()]
    keys[0].write_bytes(b"short")
    faults = checked(sound).faults
    assert {fault.kind for fault in faults} == {FaultKind.DETAILS}
    assert len(faults) == SIZE


def test_only_what_is_new_is_held_against_the_database(sound: TestLog) -> None:
    before, _note = read_checkpoint(FileSource(sound.files), trust_in([sound.vkey]))
    with sound.database.write() as session:
        session.execute(update(EventRow).where(EventRow.leaf_index == 10).values(leaf=b"{}"))
    sound.record(50)
    sound.publish()
    with sound.database.write() as session:
        session.execute(update(EventRow).where(EventRow.leaf_index == 620).values(leaf=b"{}"))
    assert places(checked(sound, since=600)) == {(FaultKind.ROW, 620)}
    assert places(checked(sound, remembered=before)) == {(FaultKind.ROW, 620)}
    assert places(checked(sound)) == {(FaultKind.ROW, 10), (FaultKind.ROW, 620)}


def test_a_damaged_tile_is_not_told_as_a_fork(sound: TestLog) -> None:
    before, _note = read_checkpoint(FileSource(sound.files), trust_in([sound.vkey]))
    sound.record(50)
    sound.publish()
    flip(sound.files / "tile/1/000.p/2")
    assert FaultKind.HISTORY not in {fault.kind for fault in checked(sound, remembered=before).faults}


def test_a_rolled_back_log_is_told_and_checked_all_the_same(sound: TestLog) -> None:
    later = Checkpoint(origin="gateway.example/log", size=SIZE + 5, root=bytes(32))
    flip(sound.files / "tile/entries/000", 40)
    found = places(checked(sound, remembered=later))
    assert found == {(FaultKind.HISTORY, SIZE), (FaultKind.ENTRY, 0), (FaultKind.ROW, 0)}


def test_faults_are_bounded_and_counted(sound: TestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.audit.checking.fsck.MAX_LISTED", 20)
    with sound.database.write() as session:
        session.execute(update(EventRow).values(leaf_hash=leaf_hash(b"another")))
    found = checked(sound)
    assert (len(found.faults), found.fault_count) == (20, SIZE)


def test_a_key_that_came_back_after_its_erasure_is_a_fault(sound: TestLog, tmp_path: Path) -> None:
    copy = shutil.copytree(sound.directory / "subject-keys", tmp_path / "copy")
    erase_subject(sound.database, sound.audit, subject="person-1", by="O Sample", reason="asked", at=sound.clock.now())
    sound.publish()
    assert not checked(sound).faults
    shutil.rmtree(sound.directory / "subject-keys")
    shutil.copytree(copy, sound.directory / "subject-keys")
    assert places(checked(sound)) == {(FaultKind.ERASED, None)}
    # Nothing is opened with such a key: what it would open is beyond reading, and so beyond comparing.
    with sound.database.write() as session:
        session.execute(update(EventRow).where(EventRow.leaf_index == 320).values(details=b"\x00" * 60))
    assert places(checked(sound)) == {(FaultKind.ERASED, None)}
