"""Somebody holds the database for longer than anybody waits: a bounded 503, nothing half done, then all is well."""

import fcntl
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from http import HTTPStatus

import pytest
import requests
from sqlalchemy import text

from gateway.audit.models import EventRow
from gateway.sdk.consumer import Answer, Refusal
from gateway.wire.message_signatures import HttpResponse
from tests.faults.pressure import assert_accounted_for, exchanges_of, verified, wait_until, wait_until_none_is_open
from tests.kit.world import ADA_MATCH, Asking, World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(120)]

Held = Callable[[World], AbstractContextManager[None]]
CLIENTS = 12
SLACK_SECONDS = 3.0  # for a busy machine, above the time that the gateway itself waits


@contextmanager
def the_writers_turn(world: World) -> Iterator[None]:
    """On SQLite the writers' lock file; on PostgreSQL the table of exchanges."""
    database = world.gateway.database
    if database.is_sqlite:
        with open(f"{database.url.database}.lock", "rb") as lock:  # noqa: PTH123 - the lock is on this very descriptor
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    with database.engine.connect() as connection:
        connection.execute(text("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE"))
        yield
        connection.rollback()


@contextmanager
def the_log_of_events(world: World) -> Iterator[None]:
    """What no audit entry can be written under: on SQLite a foreign program's transaction; else that table."""
    database = world.gateway.database
    if database.is_sqlite:
        assert database.url.database is not None
        with closing(sqlite3.connect(database.url.database, isolation_level=None)) as foreign:
            foreign.execute("PRAGMA busy_timeout = 5000")
            foreign.execute("BEGIN IMMEDIATE")
            yield
            foreign.execute("ROLLBACK")
        return
    with database.engine.connect() as connection:
        connection.execute(text(f"LOCK TABLE {EventRow.__tablename__} IN ACCESS EXCLUSIVE MODE"))
        yield
        connection.rollback()


@pytest.mark.parametrize("held", [the_writers_turn, the_log_of_events])
def test_questions_are_answered_503_within_bounds_and_nothing_is_half_done(world: World, held: Held) -> None:
    asking, token = world.asking(), world.officer_token()

    def timed(_number: int) -> tuple[float, HttpResponse]:
        request, started = world.signed(world.body(asking), token=token), time.monotonic()
        answer = world.send(request)
        return time.monotonic() - started, answer

    with held(world), ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(timed, range(CLIENTS)))
    for seconds, answer in answers:
        _assert_unavailable(answer)
        assert seconds < world.settings.database_timeout + SLACK_SECONDS
    disclosed = _ask(world, asking, token)
    assert isinstance(disclosed, Answer)
    wait_until(lambda: requests.get(f"{world.issuer}/readyz", timeout=5).ok, within_seconds=20)
    # Where the intent could be committed but not the outcome, recovery has closed it; nothing was disclosed then.
    wait_until_none_is_open(world, asking)
    rows = assert_accounted_for(world, asking, [disclosed.receipt])
    assert [row.state for row in rows if row.state != "abandoned"] == ["disclosed"]
    assert len(rows) == 1 or held is the_log_of_events


@pytest.mark.parametrize("held", [the_writers_turn, the_log_of_events])
def test_an_answer_that_cannot_be_recorded_is_not_released(world: World, held: Held) -> None:
    asking, token = world.asking("gated"), world.officer_token()
    request = world.signed(world.body(asking), token=token)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.send, request)
        wait_until(lambda: len(exchanges_of(world, asking)) == 1, within_seconds=10)
        (opened,) = exchanges_of(world, asking)
        wait_until(lambda: world.asked_of_department(str(opened.id)) is not None, within_seconds=5)
        with held(world):
            world.open_gate(asking)
            answer = waiting.result()
    _assert_unavailable(answer)
    assert b"record" not in answer.body
    # Recovery closes it; the client that asks again under its key learns so, and gets nothing.
    wait_until_none_is_open(world, asking)
    again = world.send(world.signed(request.body, token=token, key=request.headers["Idempotency-Key"]))
    told = json.loads(again.body)
    assert (again.status, told["code"]) == (HTTPStatus.CONFLICT, "exchange_abandoned")
    (row,) = assert_accounted_for(world, asking, [verified(world, told["receipt"])])
    assert row.state == "abandoned"


def _assert_unavailable(answer: HttpResponse) -> None:
    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(answer.body)["code"] == "database_unavailable"


def _ask(world: World, asking: Asking, token: str) -> Answer | Refusal:
    return world.consumer().ask(
        service=asking.service,
        purpose=asking.purpose,
        subject={"match": ADA_MATCH},
        fields=["eligible"],
        case_reference="FSM/2026/00017",
        access_token=token,
    )
