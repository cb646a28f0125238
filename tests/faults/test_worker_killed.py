"""A web worker dies in the middle of its work: no answer is lost from the log, none is in it twice."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.pressure import (
    Load,
    ask_many,
    assert_accounted_for,
    busiest,
    open_exchanges,
    wait_until,
    wait_until_none_is_open,
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
