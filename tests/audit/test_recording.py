"""What stands alone is recorded in groups: durable when it returns, refused whole when it is not, by bounded waits."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, column, event, func, select, text
from sqlalchemy.exc import IntegrityError

from gateway.audit.append import AuditLog, Entry
from gateway.audit.errors import EventRefused
from gateway.audit.models import EventRow
from gateway.db import CommitUnconfirmed, Database, DatabaseUnavailable
from tests.kit.log import TestLog, an_event
from tests.kit.processes import REPOSITORY

MANY = 40


def rows(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


@contextmanager
def nobody_can_record(url: str) -> Iterator[None]:
    """Another writer holds what recording needs, for as long as the block lasts."""
    other = Database(url)
    try:
        with other.write() as session:
            if not other.is_sqlite:
                session.execute(text("LOCK TABLE audit_events IN EXCLUSIVE MODE"))
            yield
    finally:
        other.close()


@contextmanager
def impatient(url: str, log: TestLog) -> Iterator[AuditLog]:
    """The same log on a handle that gives up after half a second, with a connection open already."""
    database = Database(url, timeout=0.5)
    try:
        audit = AuditLog(database=database, subject_keys=log.subject_keys)
        audit.record(an_event(), at=log.clock.now())
        yield audit
    finally:
        database.close()


def record_at_once(audit: AuditLog, log: TestLog, pool: ThreadPoolExecutor) -> list[Future[Entry]]:
    return [pool.submit(audit.record, an_event(subject=f"person-{n % 5}"), at=log.clock.now()) for n in range(MANY)]


def test_a_recorded_event_is_there_for_everybody_when_record_returns(log: TestLog, database_url: str) -> None:
    entry = log.audit.record(an_event(reference="exchange-1"), at=log.clock.now())
    other = Database(database_url)
    try:
        with other.read() as session:
            assert session.get_one(EventRow, entry.event_id).leaf == entry.leaf
    finally:
        other.close()
    log.publish()
    log.assert_verifies([entry], exactly=True)


def test_what_waits_together_is_committed_together(log: TestLog, database_url: str) -> None:
    audit = log.audit
    commits: list[object] = []
    event.listen(log.database.engine, "commit", commits.append)
    with ThreadPoolExecutor(MANY) as pool:
        with nobody_can_record(database_url):
            waiting = record_at_once(audit, log, pool)
            done_while_held = [each for each in waiting if each.done()]
        entries = [each.result() for each in waiting]
    assert done_while_held == []
    # On PostgreSQL the first has begun before the others come, on SQLite it takes along whoever waits by then.
    assert 1 <= len(commits) < MANY / 2
    log.publish()
    log.assert_verifies(entries, exactly=True)


def test_nobody_is_told_of_success_when_no_turn_comes_and_later_all_is_well(log: TestLog, database_url: str) -> None:
    with impatient(database_url, log) as audit, ThreadPoolExecutor(MANY) as pool:
        with nobody_can_record(database_url):
            failed = [each.exception() for each in record_at_once(audit, log, pool)]
        assert {isinstance(fault, DatabaseUnavailable) for fault in failed} == {True}
        assert rows(log.database) == 1
        entries = [each.result() for each in record_at_once(audit, log, pool)]
    assert rows(log.database) == 1 + len({entry.event_id for entry in entries}) == 1 + MANY


def test_a_transaction_that_fails_fails_for_all_who_are_in_it(log: TestLog) -> None:
    with ThreadPoolExecutor(MANY) as pool:
        with the_database_refuses_entries(log.database):
            failed = [each.exception() for each in record_at_once(log.audit, log, pool)]
        refused = DatabaseUnavailable | IntegrityError | psycopg.IntegrityError
        assert [fault for fault in failed if not isinstance(fault, refused)] == []
        assert rows(log.database) == 0
        entries = [each.result() for each in record_at_once(log.audit, log, pool)]
    log.publish()
    log.assert_verifies(entries, exactly=True)


@contextmanager
def the_database_refuses_entries(database: Database) -> Iterator[None]:
    refuse, allow = (
        (
            "CREATE TRIGGER refuse BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'refused'); END",
            "DROP TRIGGER refuse",
        )
        if database.is_sqlite
        else (
            "ALTER TABLE audit_events ADD CONSTRAINT refuse CHECK (false) NOT VALID",
            "ALTER TABLE audit_events DROP CONSTRAINT refuse",
        )
    )
    with database.write() as session:
        session.execute(text(refuse))
    yield
    with database.write() as session:
        session.execute(text(allow))


def test_a_connection_that_is_lost_while_many_are_written_is_replaced(log: TestLog, database_url: str) -> None:
    if log.database.is_sqlite:
        pytest.skip("no connection to lose")
    lost: set[int] = set()
    with ThreadPoolExecutor(MANY) as pool:
        with nobody_can_record(database_url):
            waiting = record_at_once(log.audit, log, pool)
            # The first may wait alone; whoever came meanwhile waits together, and longer.
            while not all(each.done() for each in waiting):
                lost |= end_those_who_wait(database_url)
        assert {type(each.exception()) for each in waiting} == {DatabaseUnavailable}
        assert len(lost) in {1, 2}
        assert rows(log.database) == 0
        entries = [each.result() for each in record_at_once(log.audit, log, pool)]
    log.publish()
    log.assert_verifies(entries, exactly=True)


def end_those_who_wait(url: str) -> set[int]:
    """End the server's side of every connection that waits for a lock; returns their process ids."""
    other = Database(url)
    try:
        with other.read() as session:
            waiting = select(func.pg_terminate_backend(column("pid")), column("pid")).select_from(
                text("pg_stat_activity")
            )
            return set(session.execute(waiting.where(column("wait_event_type") == "Lock")).scalars(1))
    finally:
        other.close()


def test_nobody_is_told_that_nothing_was_written_when_the_leader_died_after_its_commit(
    log: TestLog, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, write_rows = log.audit, log.database.write_rows

    @contextmanager
    def dying() -> Iterator[Connection]:
        with write_rows() as connection:
            yield connection
        raise MemoryError

    monkeypatch.setattr(log.database, "write_rows", dying)
    with ThreadPoolExecutor(MANY) as pool:
        with nobody_can_record(database_url):
            waiting = record_at_once(audit, log, pool)
        told = [each.exception() for each in waiting]
    assert {type(fault) for fault in told} == {MemoryError, CommitUnconfirmed}
    assert rows(log.database) == MANY


def test_an_event_that_is_refused_disturbs_nobody(log: TestLog) -> None:
    audit = log.audit
    with ThreadPoolExecutor(8) as pool:
        good = [pool.submit(audit.record, an_event(), at=log.clock.now()) for _ in range(8)]
        bad = [pool.submit(audit.record, an_event(members=("not plain",)), at=log.clock.now()) for _ in range(8)]
        assert {type(each.exception()) for each in bad} == {EventRefused}
        entries = [each.result() for each in good]
    log.publish()
    log.assert_verifies(entries, exactly=True)


FORKING = """
import os, sys
from pathlib import Path
from gateway.audit.append import AuditLog
from gateway.audit.subject_keys import SubjectKeys
from gateway.clock import SystemClock
from gateway.db import Database
from tests.kit.log import an_event

database = Database(sys.argv[1])
audit = AuditLog(database=database, subject_keys=SubjectKeys(Path(sys.argv[2])))
audit.record(an_event(), at=SystemClock().now())
# As it would be left by a fork while somebody led: in the child nobody ever will.
audit._events._queue._led = True
child = os.fork()
if child == 0:
    audit.record(an_event(), at=SystemClock().now())
    os._exit(0)
_, status = os.waitpid(child, 0)
audit._events._queue._led = False
audit.record(an_event(), at=SystemClock().now())
database.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_both_sides_of_a_fork_record(log: TestLog, database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING, database_url, str(tmp_path / "subject-keys")]
    subprocess.run(command, check=True, cwd=REPOSITORY, timeout=60)
    assert rows(log.database) == 3
    log.publish()
    assert len(log.assert_verifies()) == 3


def turn_is_free(url: str, *, within: float = 0) -> bool:
    try:
        with Database(url, timeout=within).turn_to_write():
            return True
    except DatabaseUnavailable:
        return False


def test_a_turn_that_was_given_up_holds_up_nobody(database: Database, database_url: str) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has no turns of ours")
    gives_up = Database(database_url, timeout=0.1)
    with database.turn_to_write():
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable), gives_up.turn_to_write():
                pytest.fail("two held the turn at once")
        assert sum(thread.name == "turn to write" for thread in threading.enumerate()) == 1
    gives_up.timeout = 5
    for each in (database, gives_up, gives_up, database):
        with each.turn_to_write():
            assert not turn_is_free(database_url)


def test_a_turn_that_was_given_up_comes_to_the_next_who_wants_it(database: Database, database_url: str) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL has no turns of ours")
    patient = Database(database_url, timeout=0.05)
    with ThreadPoolExecutor(1) as pool:
        with database.turn_to_write():
            with pytest.raises(DatabaseUnavailable), patient.turn_to_write():
                pytest.fail("two held the turn at once")
            patient.timeout = 30
            wanting = pool.submit(lambda: free_while_in_turn(patient, database_url))
        assert wanting.result() is False
    # A wait that was given up may get its turn now; it passes it on at once.
    assert turn_is_free(database_url, within=5)


def free_while_in_turn(database: Database, url: str) -> bool:
    with database.turn_to_write():
        return turn_is_free(url)
