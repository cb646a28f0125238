"""Two sequencers at once, killed in turn: one works, the other takes over, and the log has one history."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import count

import pytest

from gateway.audit import sequencer as sequencing
from gateway.errors import GatewayError
from tests.faults.apart import apart
from tests.faults.pressure import wait_until
from tests.kit.log import TestLog
from tests.kit.outsider import Outsider

pytestmark = [pytest.mark.prove, pytest.mark.timeout(120)]

KILLS = 10
NEW = 100


def test_of_two_sequencers_one_works_and_either_takes_over(log: TestLog) -> None:
    _kill_two_in_turn(log, lock_of=lambda _number: sequencing._LOCK)


@pytest.mark.postgresql
def test_sequencers_on_hosts_that_share_no_file_lock_are_told_apart_by_the_database(log: TestLog) -> None:
    _kill_two_in_turn(log, lock_of=lambda number: f".sequencer.{number}.lock")


def _kill_two_in_turn(log: TestLog, *, lock_of: Callable[[int], str]) -> None:
    outsider, recorded = Outsider(location=log.files, vkey=log.vkey), log.record(NEW)
    numbers, running = count(), list[int]()
    try:
        for _ in range(2):
            running.append(_start(log, lock_of(next(numbers))))
        for turn in range(KILLS):
            # One that takes over at once, in the middle of whatever the other was doing.
            recorded += log.record(NEW)
            wait_until(lambda: outsider.look() > 0, within_seconds=20)
            _end(running.pop(0))
            running.append(_start(log, lock_of(next(numbers))))
            if turn % 3 == 0:
                wait_until(partial(_has_seen, outsider, len(recorded)), within_seconds=20)
        wait_until(partial(_has_seen, outsider, len(recorded)), within_seconds=20)
    finally:
        for pid in running:
            _end(pid)
    log.assert_verifies(recorded, exactly=True)


def _start(log: TestLog, lock: str) -> int:
    """A process that does nothing but sequence; its id."""
    job = apart(log, _sequence_for_ever)
    pid = os.fork()
    if pid == 0:
        sequencing._LOCK = lock
        try:
            job()
        finally:
            os._exit(1)
    return pid


def _sequence_for_ever(log: TestLog) -> None:
    sequencer, test_run = log.sequencer(batch=256), os.getppid()
    while os.getppid() == test_run:
        try:
            sequencer.run_once()
        except (GatewayError, OSError):  # the next run has its turn, as in `gateway work`
            time.sleep(0.01)
        time.sleep(0.002)


def _has_seen(outsider: Outsider, entries: int) -> bool:
    return outsider.look() == entries


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
