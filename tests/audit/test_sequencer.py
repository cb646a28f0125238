"""Committed events are published exactly once, whatever happens on the way, and never under two histories."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, text, update

from gateway.audit.errors import LogForked
from gateway.audit.log_keys import LogKeys
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.sequencer import Sequencer
from gateway.audit.tile_files import TileFiles
from gateway.audit.tree_writer import TreeWriter
from gateway.errors import GatewayError, Unavailable
from gateway.wire.errors import UnusableKey
from gateway.wire.merkle import leaf_hash
from gateway.wire.signer import PrivateKeySigner
from tests.kit.log import TestLog
from tests.kit.processes import REPOSITORY, Processes, kill


class Crash(Exception):
    """The process stops here."""


@contextmanager
def crash(owner: type, method: str, *, before: bool = False, at_call: int = 1) -> Iterator[None]:
    """Stop the process at the `at_call`th call of a method: before it does anything, or when it has just been done."""
    original: Callable[..., Any] = getattr(owner, method)
    calls = 0

    def crashing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != at_call:
            return original(*args, **kwargs)
        if not before:
            original(*args, **kwargs)
        raise Crash

    setattr(owner, method, crashing)
    try:
        yield
    finally:
        setattr(owner, method, original)


STEPS = [
    (Sequencer, "_number"),
    (Sequencer, "_write_tiles"),
    (TreeWriter, "_write_batch"),
    (Sequencer, "_sign"),
    (Sequencer, "_publish"),
    (Sequencer, "_drop_partials"),
    (Sequencer, "_record"),
    (TileFiles, "write_once"),
    (TileFiles, "write_checkpoint"),
    (TileFiles, "settle"),
]


def run_until_quiet(log: TestLog) -> None:
    for _ in range(20):
        if log.sequencer().run_once() == 0:
            return
    pytest.fail("the sequencer never comes to rest")


def test_an_empty_log_is_published_as_such(log: TestLog) -> None:
    assert log.publish() == 0
    assert log.assert_verifies([], exactly=True) == []
    assert (log.files / "checkpoint").read_text().startswith("gateway.example/log\n0\n")


def test_the_published_log_grows_across_tiles(log: TestLog) -> None:
    entries = []
    for count in (1, 2, 252, 1, 1, 255, 300):
        entries += log.record(count)
        assert log.publish() == count
        log.assert_verifies(entries, exactly=True)
    assert log.publish() == 0


def test_a_backlog_is_published_in_bounded_batches(log: TestLog) -> None:
    entries = log.record(1500)
    sequencer = log.sequencer(batch=512)
    assert [sequencer.run_once() for _ in range(4)] == [512, 512, 476, 0]
    log.assert_verifies(entries, exactly=True)


def test_entries_stand_in_the_order_in_which_they_were_made(log: TestLog) -> None:
    entries = log.record(20)
    log.publish()
    assert [leaf.event_id for leaf in log.assert_verifies()] == [str(entry.event_id) for entry in entries]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _owner, step in STEPS])
@pytest.mark.parametrize("size", [(3, 2), (200, 100), (256, 256)], ids=["small", "across a tile", "whole tiles"])
def test_a_run_that_stops_anywhere_is_repeated(
    log: TestLog, owner: type, step: str, *, before: bool, size: tuple[int, int]
) -> None:
    first = log.record(size[0])
    with crash(owner, step, before=before), pytest.raises(Crash):
        log.sequencer().run_once()
    second = log.record(size[1])
    with crash(owner, step, before=before), pytest.raises(Crash):
        log.sequencer().run_once()
    run_until_quiet(log)
    log.assert_verifies([*first, *second], exactly=True)
    # And once more, on top of a log that is published and recorded.
    third = log.record(size[0])
    with crash(owner, step, before=before), pytest.raises(Crash):
        log.sequencer().run_once()
    run_until_quiet(log)
    log.assert_verifies([*first, *second, *third], exactly=True)


def test_a_crash_at_any_file_of_a_batch_is_repeated(log: TestLog) -> None:
    entries = log.record(10)
    log.publish()
    entries += log.record(700)
    for at_call in range(1, 12):
        with crash(TileFiles, "write_once", at_call=at_call):
            try:
                log.sequencer().run_once()
            except Crash:
                continue
            break
    run_until_quiet(log)
    log.assert_verifies(entries, exactly=True)


def test_a_published_checkpoint_is_never_signed_again_with_another_root(log: TestLog) -> None:
    log.record(5)
    with crash(Sequencer, "_publish"), pytest.raises(Crash):
        log.sequencer().run_once()
    published = (log.files / "checkpoint").read_bytes()
    log.publish()
    assert (log.files / "checkpoint").read_bytes() == published
    with log.database.read() as session:
        head = session.get_one(LogHeadRow, 1)
        assert head.checkpoint == published.decode()
        assert (head.size, head.published_size) == (5, 5)


def test_while_one_sequencer_works_another_does_nothing(log: TestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = log.record(10)
    others: list[int] = []
    original = Sequencer._write_tiles

    def meanwhile(self: Sequencer, *args: Any) -> bytes:
        others.append(log.sequencer().run_once())
        return original(self, *args)

    monkeypatch.setattr(Sequencer, "_write_tiles", meanwhile)
    assert log.sequencer().run_once() == 10
    assert others == [0]
    log.assert_verifies(entries, exactly=True)


def test_a_sequencer_that_lost_its_lock_changes_nothing(log: TestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that both believe to be alone: compare-and-set lets one of them through."""
    entries = log.record(10)
    slow = log.sequencer()
    original = Sequencer._record

    def overtaken(self: Sequencer, *args: Any) -> None:
        monkeypatch.setattr(Sequencer, "_record", original)
        with sqlite_or_postgres_unlocked(monkeypatch):
            entries.extend(log.record(5))
            while log.sequencer().run_once():
                pass
        original(self, *args)

    monkeypatch.setattr(Sequencer, "_record", overtaken)
    with pytest.raises(Unavailable):
        slow.run_once()
    run_until_quiet(log)
    log.assert_verifies(entries, exactly=True)


@contextmanager
def sqlite_or_postgres_unlocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    @contextmanager
    def believes_to_be_alone(_self: Sequencer) -> Iterator[bool]:
        yield True

    with monkeypatch.context() as patch:
        patch.setattr(Sequencer, "_alone", believes_to_be_alone)
        yield


def test_a_restored_old_database_is_refused_and_the_first_lost_entry_named(log: TestLog) -> None:
    log.record(7)
    log.publish()
    restore = backup(log)
    log.record(5)
    log.publish()
    published = (log.files / "checkpoint").read_bytes()
    restore()
    log.record(20)  # new events come in before anybody notices
    with pytest.raises(LogForked, match="entry 7 is the first it has lost"):
        log.sequencer().run_once()
    assert (log.files / "checkpoint").read_bytes() == published
    with log.database.read() as session:
        assert session.get_one(LogHeadRow, 1).size == 7, "nothing may be numbered over what was published"


def test_a_database_that_went_another_way_is_refused(log: TestLog, tmp_path: Path) -> None:
    """The restored database was used elsewhere, and has more entries than the published log by now."""
    log.record(7)
    log.publish()
    restore = backup(log)
    shutil.copytree(log.files, tmp_path / "true-log")
    log.record(5)
    log.publish()
    shutil.copytree(log.files, tmp_path / "published")
    restore()
    shutil.rmtree(log.files)
    shutil.copytree(tmp_path / "true-log", log.files)
    log.record(40)
    log.publish()

    shutil.rmtree(log.files)
    shutil.copytree(tmp_path / "published", log.files)
    published = (log.files / "checkpoint").read_bytes()
    log.record(1)
    with pytest.raises(LogForked, match="entry 7 in the database is not the published one"):
        log.sequencer().run_once()
    assert (log.files / "checkpoint").read_bytes() == published


def backup(log: TestLog) -> Callable[[], None]:
    """Take a copy of the audit tables; returns what puts it back."""
    with log.database.read() as session:
        events = [dict(row._mapping) for row in session.execute(select(EventRow.__table__))]
        head = dict(session.execute(select(LogHeadRow.__table__)).one()._mapping)

    def restore() -> None:
        with log.database.write() as session:
            session.execute(delete(EventRow))
            if events:
                session.execute(EventRow.__table__.insert(), events)  # type: ignore[attr-defined]
            session.execute(update(LogHeadRow).values(**head))

    return restore


def test_missing_files_of_a_published_log_are_refused(log: TestLog) -> None:
    log.record(3)
    log.publish()
    shutil.rmtree(log.files)
    log.record(1)
    with pytest.raises(LogForked, match="files are missing"):
        log.sequencer().run_once()
    assert not (log.files / "checkpoint").exists()


def test_older_files_are_brought_up_to_the_database(log: TestLog, tmp_path: Path) -> None:
    entries = log.record(300)
    log.publish()
    shutil.copytree(log.files, tmp_path / "older")
    entries += log.record(300)
    log.publish()
    shutil.rmtree(log.files)
    shutil.copytree(tmp_path / "older", log.files)
    entries += log.record(3)
    run_until_quiet(log)
    log.assert_verifies(entries, exactly=True)


@pytest.mark.parametrize("size", [5, 256, 300])
def test_a_changed_row_of_the_last_tile_stops_the_sequencer(log: TestLog, size: int) -> None:
    log.record(size)
    log.publish()
    published = (log.files / "checkpoint").read_bytes()
    with log.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == size - 2)).one()
        row.leaf = row.leaf.replace(b"dwp", b"hmr")
    log.record(1)
    with pytest.raises(LogForked, match=f"entry {size - 2} "):
        log.sequencer().run_once()
    assert (log.files / "checkpoint").read_bytes() == published


def test_a_lost_row_stops_the_sequencer(log: TestLog) -> None:
    log.record(5)
    log.publish()
    with log.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index == 2))
    log.record(1)
    with pytest.raises(LogForked, match="lost entry 2"):
        log.sequencer().run_once()


def test_a_changed_row_behind_older_files_stops_the_sequencer(log: TestLog, tmp_path: Path) -> None:
    """The files come from an old backup; the database was changed in what they do not hold."""
    log.record(300)
    log.publish()
    shutil.copytree(log.files, tmp_path / "older")
    log.record(700)
    log.publish()
    shutil.rmtree(log.files)
    shutil.copytree(tmp_path / "older", log.files)
    with log.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == 400)).one()
        row.leaf = row.leaf.replace(b"dwp", b"hmr")
        row.leaf_hash = leaf_hash(row.leaf)
    log.record(1)
    with pytest.raises(LogForked, match="another root at 1000 entries"):
        log.sequencer().run_once()


def test_a_changed_tile_far_from_the_edge_stops_the_sequencer(log: TestLog) -> None:
    log.record(600)
    log.publish()
    published = (log.files / "checkpoint").read_bytes()
    path = log.files / "tile/1/000.p/2"
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    log.record(1)
    with pytest.raises(LogForked, match="another root at 600 entries"):
        log.sequencer().run_once()
    assert (log.files / "checkpoint").read_bytes() == published


def test_a_tile_once_written_is_never_rewritten_with_other_bytes(log: TestLog) -> None:
    """The database forgets what it numbered, after tiles were written and before anything was signed."""
    log.publish()
    restore = backup(log)
    log.record(300)
    with crash(Sequencer, "_sign", before=True), pytest.raises(Crash):
        log.sequencer().run_once()
    written = (log.files / "tile/0/000").read_bytes()
    restore()
    log.record(300)
    with pytest.raises(LogForked, match="entry 0 in the database is not the published one"):
        log.sequencer().run_once()
    assert (log.files / "tile/0/000").read_bytes() == written


def test_a_changed_checkpoint_or_tile_on_disk_stops_the_sequencer(log: TestLog) -> None:
    log.record(5)
    log.publish()
    for name in ("checkpoint", "tile/0/000.p/5"):
        path = log.files / name
        whole = path.read_bytes()
        path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        log.record(1)
        with pytest.raises(GatewayError):
            log.sequencer().run_once()
        path.write_bytes(whole)
    run_until_quiet(log)
    log.assert_verifies()


def test_another_key_cannot_continue_the_log(log: TestLog) -> None:
    log.record(2)
    log.publish()
    log.record(1)
    stranger = TestLog(
        database=log.database,
        directory=log.directory,
        signer=PrivateKeySigner.generate("Ed25519"),
        clock=log.clock,
    )
    with pytest.raises(LogForked):
        stranger.sequencer().run_once()
    log.publish()
    log.assert_verifies()


def test_only_an_ed25519_key_signs_the_log(log: TestLog) -> None:
    with pytest.raises(UnusableKey):
        LogKeys(origin="gateway.example/log", signers=(PrivateKeySigner.generate("ES256"),))


def test_unnumbered_events_are_found_without_reading_the_log(log: TestLog) -> None:
    """Looking for work costs the same however long the log is: the partial index alone answers."""
    log.record(300)
    log.publish()
    question = "SELECT id FROM audit_events WHERE leaf_index IS NULL ORDER BY id LIMIT 1"
    with log.database.read() as session:
        if log.database.is_sqlite:
            plan = session.execute(text(f"EXPLAIN QUERY PLAN {question}")).all()
        else:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            plan = session.execute(text(f"EXPLAIN {question}")).all()
    assert "ix_audit_events_unnumbered" in str(plan)


def start_process(server_processes: Processes, log: TestLog, name: str, job: str) -> Any:
    (log.directory / "log.pem").write_bytes(log.signer.private_pem())
    # The password of a URL is masked when shown, so it is rendered on purpose.
    url = log.database.url.render_as_string(hide_password=False)
    return server_processes.start(
        [sys.executable, "-m", "tests.audit.appending", url, str(log.directory), job],
        name=name,
        env={"PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
    )


@pytest.mark.timeout(120)
def test_events_of_several_processes_are_all_there_exactly_once(log: TestLog, server_processes: Processes) -> None:
    """Four processes append, two sequence; nothing is lost or doubled."""
    for number in range(2):
        start_process(server_processes, log, f"sequencing-{number}", "sequencing")
    writers = [start_process(server_processes, log, f"writer-{number}", "60") for number in range(4)]
    for writer in writers:
        assert writer.process.wait(90) == 0, writer.output()
    server_processes.stop_all()
    log.publish()
    ids = [UUID(line) for writer in writers for line in writer.output().split()]
    assert len(ids) == 240
    assert_exactly(log, ids)


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_killed_sequencers_and_writers_leave_a_log_that_verifies(log: TestLog, server_processes: Processes) -> None:
    committed: list[UUID] = []
    for turn in range(12):
        sequencing = start_process(server_processes, log, f"sequencing-{turn}", "sequencing")
        writer = start_process(server_processes, log, f"writer-{turn}", "100000")
        while len(writer.output().split()) < 40 + turn * 7:
            assert writer.process.poll() is None, writer.output()
        kill(sequencing.pid if turn % 3 else writer.pid)
        kill(writer.pid)
        kill(sequencing.pid)
        writer.process.wait(30)
        sequencing.process.wait(30)
        committed += [UUID(line) for line in writer.output().split("\n")[:-1]]
    run_until_quiet(log)
    # A writer may have been killed after its commit and before it could say so: never the other way round.
    leaves = log.assert_verifies()
    recorded = {UUID(leaf.event_id) for leaf in leaves}
    assert set(committed) <= recorded
    assert len(recorded) <= len(committed) + 12


def assert_exactly(log: TestLog, ids: list[UUID]) -> None:
    leaves = log.assert_verifies()
    assert sorted(leaf.event_id for leaf in leaves) == sorted(map(str, ids))


@pytest.mark.postgresql
def test_a_backlog_is_numbered_whatever_the_servers_statistics_say(log: TestLog) -> None:
    log.record(2_000)
    log.publish()
    with log.database.engine.connect() as connection:
        # As they are after a quiet time: next to nothing ever waits for its index.
        connection.execute(text("ANALYZE audit_events"))
        connection.execute(text("ALTER TABLE audit_events SET (autovacuum_enabled = off)"))
        connection.commit()
    try:
        log.record(40_000)
        assert log.publish() == 40_000
    finally:
        with log.database.engine.connect() as connection:
            connection.execute(text("ALTER TABLE audit_events RESET (autovacuum_enabled)"))
            connection.commit()
