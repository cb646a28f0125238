"""A web worker dies in place of a call in the middle of a real exchange: what anybody was told is in the log, once.

A spread of places: the first claims, the intent, the outcome's rows, and the calls that make them durable.
"""

from pathlib import Path

import pytest

from tests.faults.pressure import (
    Load,
    ask,
    assert_accounted_for,
    wait_until,
    wait_until_none_is_open,
    wait_until_ready,
    web_workers,
)
from tests.kit.strace import dies_at, faults_in
from tests.kit.world import World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(180)]

PLACES = {
    "sqlite": (("fdatasync", 1), ("fdatasync", 2), ("pwrite64", 7), ("pwrite64", 30)),
    "postgresql": (("sendto", 2), ("sendto", 11), ("sendto", 20), ("sendto", 25)),
}


def test_every_answer_is_in_the_log_wherever_in_its_exchange_the_worker_was_killed(
    world: World, tmp_path: Path
) -> None:
    asking, token, load, killed = world.asking(), world.officer_token(), Load(), 0
    places = PLACES["sqlite" if world.gateway.database.is_sqlite else "postgresql"]
    for call, number in places:
        wait_until(lambda: len(web_workers(world)) == world.settings.workers, within_seconds=30)
        wait_until_ready(world)
        workers = web_workers(world)
        with faults_in(workers, dies_at(call, number), output=tmp_path / f"{call}-{number}"):
            load.note(ask(world, world.consumer(), asking, 0, token=token))
        killed += bool(set(workers) - set(web_workers(world)))
    wait_until(lambda: len(web_workers(world)) == world.settings.workers, within_seconds=30)
    load.note(ask(world, world.consumer(), asking, 0, token=token))
    assert killed >= len(places) - 1, "too few workers died: little was proved"
    assert load.told, "nobody was told anything, not even in the end"
    wait_until_none_is_open(world, asking)
    assert_accounted_for(world, asking, load.told)
