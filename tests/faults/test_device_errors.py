"""The device under the log's files, or under the database, answers EIO: nothing is released, and it recovers."""

import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from gateway.wire.message_signatures import HttpResponse
from tests.faults.conftest import StartWorld
from tests.faults.pressure import (
    Load,
    ask,
    assert_accounted_for,
    below,
    exchanges_of,
    verified,
    wait_until,
    wait_until_none_is_open,
    wait_until_ready,
    web_workers,
    work_process,
)
from tests.kit.outsider import Outsider
from tests.kit.processes import kill
from tests.kit.strace import fails_at, faults_in
from tests.kit.world import Asking, World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(180)]

QUESTIONS = 6
SLACK_SECONDS = 3.0  # for a busy machine, above the time that the gateway itself waits


@pytest.fixture(scope="module")
def world(start_world: StartWorld) -> Iterator[World]:
    """A world whose log is soon late."""
    with start_world(merge_delay=2.0) as running:
        yield running


def test_the_log_is_published_once_its_device_answers_again(world: World, tmp_path: Path) -> None:
    asking, load, token = world.asking(), Load(), world.officer_token()
    outsider = Outsider(location=f"{world.issuer}/log", vkey=world.gateway.log_key.encode())
    work = work_process(world)
    assert work is not None
    for call in ("fsync", "rename"):
        wait_until_ready(world)
        before = outsider.look()
        with faults_in([work], fails_at(call, "1+", error="EIO"), output=tmp_path / call):
            load.note(ask(world, world.consumer(), asking, 0, token=token))
            wait_until(lambda: not requests.get(f"{world.issuer}/readyz", timeout=5).ok, within_seconds=15)
            _assert_unavailable(world, asking, token)
            assert outsider.look() >= before
    _assert_recovers(world, asking, load, token)
    assert work_process(world) == work, "it needed a restart"
    outsider.look()


def test_nothing_is_released_that_the_databases_device_did_not_take(world: World, tmp_path: Path) -> None:
    asking, load, token = world.asking(), Load(), world.officer_token()
    load.note(ask(world, world.consumer(), asking, 0, token=token))
    with faults_in(
        _writers_of_the_database(world), fails_at("fdatasync", "1+", error="EIO"), output=tmp_path / "calls"
    ):
        _assert_unavailable(world, asking, token)
    _assert_recovers(world, asking, load, token)


def test_a_commit_that_failed_but_persisted_has_one_outcome(world: World, tmp_path: Path) -> None:
    """The outcome was written, making it durable failed, the client was told 503; then everything dies.

    What is left may hold the outcome or not. Whoever asks again under the same key learns the one that the log holds.
    """
    asking, token = world.asking("gated"), world.officer_token()
    request = world.signed(world.body(asking), token=token)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(world.send, request)
        wait_until(lambda: len(exchanges_of(world, asking)) == 1, within_seconds=10)
        (opened,) = exchanges_of(world, asking)
        wait_until(lambda: world.asked_of_department(str(opened.id)) is not None, within_seconds=5)
        # Nobody else may write over it meanwhile, nor hold the database open when it is opened anew.
        work = work_process(world)
        assert work is not None
        os.kill(work, signal.SIGSTOP)
        workers = web_workers(world)
        with faults_in(
            _writers_of_the_database(world), fails_at("fdatasync", "1+", error="EIO"), output=tmp_path / "calls"
        ):
            world.open_gate(asking)
            answer = waiting.result()
            assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE, answer.body
            world.gateway.database.close()
            for pid in (*workers, work):
                kill(pid)
    wait_until(lambda: len(web_workers(world)) == world.settings.workers, within_seconds=30)
    wait_until_ready(world)
    wait_until_none_is_open(world, asking)
    again = world.send(world.signed(request.body, token=token, key=request.headers["Idempotency-Key"]))
    told = json.loads(again.body)
    (row,) = assert_accounted_for(world, asking, [verified(world, told["receipt"])])
    assert (again.status, row.state) in {(HTTPStatus.OK, "disclosed"), (HTTPStatus.CONFLICT, "abandoned")}


def _writers_of_the_database(world: World) -> Sequence[int]:
    """Who makes commits durable: the gateway's own processes on SQLite, PostgreSQL's for this database."""
    if world.gateway.database.is_sqlite:
        return [child.pid for child in below(world)]
    with world.gateway.database.read() as session:
        # This very connection is idle by then: only those that write meet the fault.
        backends = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() OR backend_type = :kind")
        return list(session.scalars(backends, {"kind": "walwriter"}))


def _assert_unavailable(world: World, asking: Asking, token: str) -> None:
    def asked(_number: int) -> HttpResponse:
        request, started = world.signed(world.body(asking), token=token), time.monotonic()
        answer = world.send(request)
        assert time.monotonic() - started < world.settings.database_timeout + SLACK_SECONDS
        return answer

    with ThreadPoolExecutor(QUESTIONS) as pool:
        for answer in pool.map(asked, range(QUESTIONS)):
            assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE, answer.body
            assert "record" not in json.loads(answer.body)


def _assert_recovers(world: World, asking: Asking, load: Load, token: str) -> None:
    wait_until_ready(world)
    again = ask(world, world.consumer(), asking, 0, token=token)
    assert again is not None
    assert again.outcome == "disclosed"
    wait_until_none_is_open(world, asking)
    assert_accounted_for(world, asking, [*load.told, again])
