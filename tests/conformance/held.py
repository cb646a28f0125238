"""Hold a real worker at one step of an exchange, by holding in the database what it needs next.

On SQLite that is the turn to write, on PostgreSQL a row, a table or what `release_lock` names.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gateway.clock import SystemClock
from gateway.identity.accounts import account_name
from gateway.once.once import first_use
from gateway.release_lock import wait_for_releases
from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from tests.conformance.while_answering import asked_and_waiting
from tests.faults.pressure import web_workers
from tests.kit.world import Asking, World

Change = Callable[[Session], None]


def changed_before_the_decision(
    world: World, request: HttpRequest, change: Change, *, nonce: str, signed_by: str
) -> HttpResponse:
    """Commit the change when the worker has authenticated the request and is about to decide; the answer."""
    with ThreadPoolExecutor(1) as sender:

        def claim(session: Session) -> None:
            # Whoever else claims the same nonce waits until it is known whether this claim holds. It will not.
            until = SystemClock().now() + timedelta(minutes=1)
            assert first_use(session, kind="exchange-nonce", owner=signed_by, value=nonce, expires_at=until)

        with _change_while_held(world, claim, change) as held:
            answer = sender.submit(world.send, request)
            held()
        return answer.result(timeout=30)


def changed_before_the_release(world: World, asking: Asking, request: HttpRequest, change: Change) -> HttpResponse:
    """Commit the change when the provider has answered and the worker is about to decide again; the answer."""
    with asked_and_waiting(world, asking, request) as waiting:
        with world.gateway.database.write() as session:
            # The first of what a release keeps as it is (they are taken by name): it waits for this with empty hands.
            officer = session.scalars(
                select(ExchangeRow.officer_account).where(ExchangeRow.id == UUID(waiting.exchange))
            ).one()
            assert officer is not None
            wait_for_releases(session, account_name(officer))
            world.open_gate(asking)
            _wait_until(
                lambda: (
                    _waits_for_its_turn(world) if world.gateway.database.is_sqlite else waiting_for_a_lock(world) > 0
                )
            )
            change(session)
        return waiting.answer.result(timeout=30)


@contextmanager
def _change_while_held(world: World, hold: Change, change: Change) -> Iterator[Callable[[], None]]:
    """Hold what the worker needs; the block calls what it is given once the worker is on its way there."""
    database = world.gateway.database
    if database.is_sqlite:
        with database.write() as session:

            def held() -> None:
                _wait_until(lambda: _waits_for_its_turn(world))
                change(session)

            yield held
        return
    with Session(database.engine) as holding:
        hold(holding)
        yield lambda: _committed_while_waited_for(world, change)
        holding.rollback()


def _committed_while_waited_for(world: World, change: Change) -> None:
    _wait_until(lambda: waiting_for_a_lock(world) > 0)
    with world.gateway.database.write() as session:
        change(session)


@contextmanager
def releasing(world: World, asking: Asking, request: HttpRequest) -> Iterator["Future[HttpResponse]"]:
    """On PostgreSQL: go on when the worker has decided for the last time and has not committed; what it will answer.

    It is let go at the end of the block.
    """
    with asked_and_waiting(world, asking, request) as waiting:
        with Session(world.gateway.database.engine) as holding:
            holding.execute(text("LOCK TABLE audit_events IN SHARE MODE"))
            world.open_gate(asking)
            _wait_until(lambda: waiting_for_a_lock(world, query="INSERT INTO audit_events%") > 0)
            yield waiting.answer
            holding.rollback()
        waiting.answer.result(timeout=30)


@contextmanager
def department_stopped(world: World) -> Iterator[Callable[[], None]]:
    """The department's machine takes connections and nobody there reads them, until what is given is called."""
    assert world.department is not None
    pids = [world.department.pid, *(child.pid for child in world.department.descendants())]

    def goes_on() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield goes_on
    finally:
        goes_on()


def waiting_for_a_lock(world: World, *, query: str = "%") -> int:
    """How many of PostgreSQL's sessions wait for a lock with such a statement."""
    count = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND query LIKE :query"
    )
    with world.gateway.database.read() as session:
        found: int = session.execute(count, {"query": query}).scalar_one()
    return found


def _waits_for_its_turn(world: World) -> bool:
    """Whether a web worker waits for the turn to write, as the kernel lists it (Linux only)."""
    waiting = {line.split()[5] for line in Path("/proc/locks").read_text().splitlines() if "-> FLOCK" in line}
    return any(str(pid) in waiting for pid in web_workers(world))


def exchange_of(world: World, asking: Asking) -> ExchangeRow | None:
    """The only exchange of this agreement, as the database holds it now."""
    with world.gateway.database.read() as session:
        return session.scalar(select(ExchangeRow).where(ExchangeRow.service == asking.service))


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the worker never came to where it was to be held"
        time.sleep(0.01)
