"""`gateway work` dies again and again while the gateway is busy: the log still holds, and work goes on."""

import time

import pytest

from tests.faults.pressure import (
    asking_all_the_while,
    assert_accounted_for,
    wait_until,
    wait_until_none_is_open,
    work_process,
)
from tests.kit.processes import kill
from tests.kit.world import World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(150)]

KILLS = 6
# Different moments of the sequencer's turn; the first kills may even hit it while it starts.
MOMENTS = (0.0, 0.05, 0.3, 1.1, 2.0, 2.6)


def test_the_log_verifies_though_its_sequencer_was_killed_again_and_again(world: World) -> None:
    asking = world.asking()
    killed: set[int] = set()
    with asking_all_the_while(world, asking, threads=6) as load:
        load.wait_until(lambda load: load.asked >= 10)
        for moment in MOMENTS:
            wait_until(lambda: work_process(world) not in killed | {None}, within_seconds=30)
            time.sleep(moment)
            running = work_process(world)
            assert running is not None
            kill(running)
            killed.add(running)
        asked = load.asked
        load.wait_until(lambda load: load.asked > asked)  # the web served on meanwhile
    assert len(killed) == KILLS
    wait_until_none_is_open(world, asking)
    rows = assert_accounted_for(world, asking, load.told)
    assert len(load.told) == load.asked == len(rows)
    assert work_process(world) not in killed | {None}
