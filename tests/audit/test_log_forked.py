"""Each way in which database and files can come apart: the sequencer mends it without a fork, or names the index."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from gateway.audit.errors import LogForked
from gateway.audit.log_keys import LogKeys
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.sequencer import PARTIALS_KEPT, Sequencer
from gateway.wire.merkle import leaf_hash
from tests.kit.log import ORIGIN, TestLog

Change = Callable[[TestLog], None]


def refused(log: TestLog) -> LogForked:
    """The sequencer's refusal; nothing that outsiders can see has changed."""
    before = published_files(log)
    with pytest.raises(LogForked, match="nothing is signed") as refusal:
        log.sequencer().run_once()
    assert published_files(log) == before
    return refusal.value


def published_files(log: TestLog) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in log.files.rglob("*") if path.is_file() and path.name[0] != "."}


def alter(index: int, *, with_its_hash: bool) -> Change:
    def change(log: TestLog) -> None:
        with log.database.write() as session:
            row = session.scalars(select(EventRow).where(EventRow.leaf_index == index)).one()
            row.leaf = row.leaf.replace(b"dwp", b"hmr")
            if with_its_hash:
                row.leaf_hash = leaf_hash(row.leaf)

    return change


def remove(index: int) -> Change:
    def change(log: TestLog) -> None:
        with log.database.write() as session:
            session.execute(delete(EventRow).where(EventRow.leaf_index == index))

    return change


def swap(one: int, other: int) -> Change:
    def change(log: TestLog) -> None:
        with log.database.write() as session:
            rows = {row.leaf_index: row.id for row in session.scalars(select(EventRow))}
            for at, index in ((one, -1), (other, one), (one, other)):
                row_id = rows[at]
                session.execute(update(EventRow).where(EventRow.id == row_id).values(leaf_index=index))

    return change


CHANGES = [
    pytest.param(alter(6, with_its_hash=False), 6, id="a row edited"),
    pytest.param(alter(6, with_its_hash=True), 6, id="a row edited with its hash"),
    pytest.param(remove(6), 6, id="a row deleted"),
    pytest.param(swap(4, 7), 4, id="two rows swapped"),
]


@pytest.mark.parametrize(("change", "index"), CHANGES)
def test_a_change_of_published_rows_is_refused_by_index(log: TestLog, change: Change, index: int) -> None:
    log.record(9)
    log.publish()
    change(log)
    log.record(1)
    assert refused(log).index == index


@pytest.mark.parametrize(("change", "index"), CHANGES)
def test_a_change_of_rows_whose_tiles_are_written_is_refused_by_index(
    log: TestLog, change: Change, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbered and written, but neither signed nor published yet."""
    log.record(9)
    with monkeypatch.context() as patch:
        patch.setattr(Sequencer, "_sign", stop)
        with pytest.raises(Stopped):
            log.sequencer().run_once()
    change(log)
    assert refused(log).index == index


class Stopped(Exception):
    """The process ends here."""


def stop(*_args: object, **_options: object) -> None:
    raise Stopped


@pytest.mark.parametrize("change", [alter(6, with_its_hash=False), remove(6)])
def test_a_change_between_numbering_and_writing_is_refused_by_index(log: TestLog, change: Change) -> None:
    log.record(9)
    log.sequencer()._number()
    change(log)
    assert refused(log).index == 6


def test_an_event_edited_before_it_was_numbered_is_refused_by_index(log: TestLog) -> None:
    log.record(3)
    log.publish()
    entry = log.record(1)[0]
    with log.database.write() as session:
        session.execute(update(EventRow).where(EventRow.id == entry.event_id).values(leaf=b"{}"))
    assert refused(log).index == 3


def test_an_older_database_is_refused_by_the_first_index_it_lost(log: TestLog) -> None:
    log.record(7)
    log.publish()
    with log.database.read() as session:
        head = session.get_one(LogHeadRow, 1)
    log.record(5)
    log.publish()
    with log.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index >= 7))
        session.execute(update(LogHeadRow).values(size=7, published_size=7, root=head.root, checkpoint=head.checkpoint))
    log.record(30)
    assert refused(log).index == 7


@pytest.mark.parametrize(("name", "index"), [("tile/0/001.p/44", 299), ("tile/1/000.p/1", 0)])
@pytest.mark.parametrize("left", [0, 20])
def test_a_cut_off_tile_at_the_edge_is_refused_by_index(log: TestLog, name: str, index: int, left: int) -> None:
    log.record(300)
    log.publish()
    path = log.files / name
    path.write_bytes(path.read_bytes()[: -32 + left])
    log.record(1)
    assert refused(log).index == index


@pytest.mark.parametrize("name", ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"])
def test_a_missing_tile_at_the_edge_is_made_again(log: TestLog, name: str) -> None:
    entries = log.record(300)
    log.publish()
    (log.files / name).unlink()
    entries += log.record(1)
    log.publish()
    log.assert_verifies(entries, exactly=True)


def test_an_older_checkpoint_put_in_the_place_of_the_last_one_is_replaced(log: TestLog) -> None:
    entries = log.record(5)
    log.publish()
    older = (log.files / "checkpoint").read_bytes()
    entries += log.record(300)
    log.publish()
    newest = (log.files / "checkpoint").read_bytes()
    (log.files / "checkpoint").write_bytes(older)
    log.publish()
    assert (log.files / "checkpoint").read_bytes() == newest
    log.assert_verifies(entries, exactly=True)


def test_a_missing_checkpoint_is_refused_and_an_older_copy_of_it_is_enough(log: TestLog) -> None:
    entries = log.record(5)
    log.publish()
    older = (log.files / "checkpoint").read_bytes()
    entries += log.record(5)
    log.publish()
    (log.files / "checkpoint").unlink()
    assert "there is no checkpoint in this folder" in refused(log).public
    (log.files / "checkpoint").write_bytes(older)
    log.publish()
    log.assert_verifies(entries, exactly=True)


def test_a_checkpoint_alone_is_enough_to_make_all_files_again(log: TestLog) -> None:
    """The folder is lost; somebody outside kept a checkpoint."""
    entries = log.record(600)
    log.publish()
    kept = (log.files / "checkpoint").read_bytes()
    entries += log.record(20)
    log.publish()
    shutil.rmtree(log.files)
    log.files.mkdir()
    (log.files / "checkpoint").write_bytes(kept)
    log.publish()
    log.assert_verifies(entries, exactly=True)


def test_a_second_sequencer_with_a_folder_of_its_own_is_refused(log: TestLog, tmp_path: Path) -> None:
    entries = log.record(5)
    log.publish()
    entries += log.record(2)
    elsewhere = Sequencer(
        log.database,
        log_dir=tmp_path / "another",
        keys=LogKeys(origin=ORIGIN, signers=(log.signer,)),
        clock=log.clock,
    )
    with pytest.raises(LogForked, match="started with another folder"):
        elsewhere.run_once()
    assert not (tmp_path / "another" / "checkpoint").exists()
    log.publish()
    log.assert_verifies(entries, exactly=True)


def test_a_checkpoint_of_another_origin_is_not_continued(log: TestLog) -> None:
    log.record(2)
    log.publish()
    keys = LogKeys(origin="other.example/log", signers=(log.signer,))
    renamed = Sequencer(log.database, log_dir=log.files, keys=keys, clock=log.clock)
    log.record(1)
    before = published_files(log)
    with pytest.raises(LogForked, match="not signed by this log's key"):
        renamed.run_once()
    assert published_files(log) == before


def test_partial_tiles_outlive_their_completion_by_a_minute(log: TestLog) -> None:
    """Whoever fetched the last checkpoint but one finds each of its tiles."""
    sequencer = log.sequencer()
    log.record(200)
    sequencer.run_once()
    partials = [log.files / f"tile/{kind}/000.p/200" for kind in ("0", "entries")]
    log.record(200)
    sequencer.run_once()
    assert all(path.exists() for path in partials)
    log.clock.advance(seconds=PARTIALS_KEPT.total_seconds() + 1)
    log.record(1)
    sequencer.run_once()
    assert not any(path.exists() for path in partials)
    assert (log.files / "tile/0/001.p/144").exists()
    assert (log.files / "tile/0/001.p/145").exists()
    log.assert_verifies()
