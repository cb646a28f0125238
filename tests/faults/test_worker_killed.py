"""A web worker dies in the middle of its work: no answer is lost from the log, none is in it twice."""

import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.conformance.while_answering import asked_and_waiting
from tests.faults.pressure import (
    Load,
    ask_many,
    assert_accounted_for,
    busiest,
    open_exchanges,
    wait_until,
    wait_until_none_is_open,
    wait_until_ready,
    web_workers,
)
from tests.kit.processes import kill
from tests.kit.world import World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(150)]

QUESTIONS = 200
THREADS = 20


def test_every_answer_is_in_the_log_exactly_once_though_a_worker_was_killed_midway(world: World) -> None:
    asking, load = world.asking("unhurried"), Load()
    workers = web_workers(world)
    assert len(workers) == world.settings.workers
    with ThreadPoolExecutor(1) as pool:
        clients = pool.submit(ask_many, world, asking, load, questions=QUESTIONS, threads=THREADS)
        # More exchanges under way than workers: the busiest holds one at the very least.
        load.wait_until(lambda load: load.asked >= QUESTIONS // 3 and open_exchanges(world, asking) > len(workers))
        killed = busiest(workers)
        kill(killed)
        assert load.asked < QUESTIONS, "the worker was killed too late to be midway"
        clients.result()

    wait_until_none_is_open(world, asking)
    rows = assert_accounted_for(world, asking, load.told)
    # One question is one exchange however often it was sent, and each was disclosed, refused or given up for good.
    assert len(rows) == QUESTIONS
    assert load.asked == QUESTIONS
    told, held = Counter(receipt.outcome for receipt in load.told), Counter(row.state for row in rows)
    assert sum(told.values()) >= QUESTIONS - world.settings.threads, "more was lost than one worker could hold"
    assert held["disclosed"] >= told["disclosed"] > QUESTIONS // 4
    assert held["abandoned"] >= 1, "the worker was killed with nothing under way: nothing was proved"
    assert len({receipt.exchange for receipt in load.told}) == len(load.told)
    # Its place was taken.
    wait_until(lambda: len(web_workers(world)) == world.settings.workers, within_seconds=20)
    assert killed not in web_workers(world)


def test_a_retry_after_the_worker_that_was_asked_died_while_the_provider_answered(world: World) -> None:
    asking, key = world.asking("gated"), str(uuid.uuid4())
    body = world.body(asking)
    with asked_and_waiting(world, asking, world.signed(body, key=key)) as waiting:
        for worker in web_workers(world):
            kill(worker)
        with pytest.raises(requests.ConnectionError):
            waiting.answer.result(timeout=30)
    wait_until_ready(world)
    codes: list[str] = []

    def is_over() -> bool:
        answer = world.send(world.signed(body, key=key))
        assert answer.status == 409
        codes.append(json.loads(answer.body)["code"])
        return codes[-1] == "exchange_abandoned"

    wait_until(is_over, within_seconds=30)
    # Until its lease was over, nobody could know that nobody works on it.
    assert set(codes[:-1]) <= {"still_running"}
    assert world.outcomes_of(waiting.exchange) == ["abandoned"]
    assert len(world.questions(waiting.exchange)) == 1
    assert world.send(world.signed(body)).status == 200
    world.assert_log_verifies()
