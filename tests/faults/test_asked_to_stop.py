"""SIGTERM in the middle of the work: whoever was let in is answered, and what was answered is published."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
import requests

from gateway.wire.message_signatures import HttpRequest, HttpResponse
from tests.faults.conftest import StartWorld
from tests.faults.pressure import assert_accounted_for, exchanges_of, verified, wait_until
from tests.kit.log import assert_log_verifies
from tests.kit.world import Asking, World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(150)]

CLIENTS = 12
SLOW = 4


def test_no_accepted_question_is_lost_when_the_gateway_is_asked_to_stop(start_world: StartWorld) -> None:
    # So seldom that only a last turn, taken after the web has stopped, can publish what was answered in the end.
    with start_world(sequencer_interval=8.0, merge_delay=60.0, database_timeout=10.0) as world:
        answers = _stopped_while_asked(world)
        leaves = assert_log_verifies(world.settings.log_dir, world.gateway.log_key.encode())
        for asking, answered in answers.items():
            receipts = [verified(world, json.loads(answer.body)["receipt"]) for answer in answered]
            # Whatever was begun was finished, and whoever began it was told; nobody had to ask twice.
            rows = assert_accounted_for(world, asking, receipts, leaves=leaves)
            assert {str(row.id) for row in rows} == {receipt.exchange for receipt in receipts}
            assert {row.state for row in rows} == {"disclosed"}


def _stopped_while_asked(world: World) -> dict[Asking, list[HttpResponse]]:
    """Ask from many threads, stop the gateway meanwhile; what was answered, by service."""
    slow, quick = world.asking("gated"), world.asking()
    token, stop = world.officer_token(), threading.Event()
    answers: dict[Asking, list[HttpResponse]] = {slow: [], quick: []}

    def ask(asking: Asking) -> bool:
        answer = _sent_once(world, world.signed(world.body(asking), token=token))
        if answer is not None:
            assert answer.status == HTTPStatus.OK, answer.body
            answers[asking].append(answer)
        return answer is not None

    def client(_number: int) -> int:
        asked = 0
        while not stop.is_set() and ask(quick):
            asked += 1
        return asked

    gateway = world.processes["gateway"]
    with ThreadPoolExecutor(CLIENTS + SLOW) as pool:
        clients = [pool.submit(client, number) for number in range(CLIENTS)]
        wait_until(lambda: len(answers[quick]) >= 3 * CLIENTS, within_seconds=30)
        waiting = [pool.submit(ask, slow) for _ in range(SLOW)]
        wait_until(lambda: len(exchanges_of(world, slow)) == SLOW, within_seconds=10)
        gateway.terminate()
        world.open_gate(slow)
        status = gateway.wait(40)
        stop.set()
        assert status == 0
        assert all(each.result() for each in waiting), "a question that was under way got no answer"
        assert sum(each.result() for each in clients) == len(answers[quick])
    return answers


def _sent_once(world: World, request: HttpRequest) -> HttpResponse | None:
    """Send without ever trying again; None when the gateway did not take the request."""
    try:
        return world.send(request)
    except requests.ConnectionError:
        return None
