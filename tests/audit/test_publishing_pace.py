"""How often the log is published: a backlog without pauses, a trickle at the pace that was set, faults or not."""

import threading
from collections.abc import Callable

from gateway.audit.sequencer import BATCH
from gateway.errors import Unavailable
from gateway.work import Task, run_forever

AN_HOUR = 3600.0


def runs_of_one_turn(run: Callable[[], int]) -> int:
    """Give the task one turn in the worker's loop; returns how often it was run."""
    stop, runs = threading.Event(), 0

    def counted() -> int:
        nonlocal runs
        runs += 1
        return run()

    def end() -> int:
        stop.set()
        return 0

    sequence = Task(name="sequence", every=AN_HOUR, run=counted, whole=BATCH)
    run_forever([sequence, Task(name="end", every=AN_HOUR, run=end)], stop)
    return runs


def test_a_backlog_is_published_without_pauses() -> None:
    backlog = iter([BATCH, BATCH, 10, 10])
    assert runs_of_one_turn(lambda: next(backlog)) == 3


def test_a_trickle_is_published_at_the_pace_that_was_set() -> None:
    assert runs_of_one_turn(lambda: 10) == 1


def test_a_run_that_fails_is_not_tried_again_at_once_and_ends_nothing() -> None:
    def fails() -> int:
        raise Unavailable

    assert runs_of_one_turn(fails) == 1
