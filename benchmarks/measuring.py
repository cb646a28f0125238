"""Do something over and over, from several threads, for a while: how often, how long, at whose expense."""

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import requests

from gateway.errors import GatewayError

WARM_UP_SECONDS = 1.0
MOST_FAILURES = 200


class OutOfWork(Exception):
    """There is nothing left to do; what was done until then counts."""


class NothingWorked(RuntimeError):
    """Not a single attempt succeeded, so there is nothing to report."""


@dataclass(slots=True, kw_only=True)
class Measured:
    """What happened after the warm-up: durations in seconds of what succeeded, and how many attempts failed."""

    seconds: float = 0.0
    durations: list[float] = field(default_factory=list)
    failures: int = 0

    @property
    def per_second(self) -> float:
        """Successes a second."""
        return len(self.durations) / self.seconds

    def milliseconds(self, share: float) -> float:
        """The duration that this share of the successes did not exceed."""
        ordered = sorted(self.durations)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def run_for(
    seconds: float,
    work: Callable[[int], object],
    *,
    clients: int,
    warm_up: float = WARM_UP_SECONDS,
    when_warm: Callable[[], object] = lambda: None,
) -> Measured:
    """Call `work(client)` from `clients` threads for `seconds`, after `warm_up` seconds that do not count.

    `when_warm` is called as counting begins. Known failures are counted, and end the run once there are
    `MOST_FAILURES`; others are raised. Raises `NothingWorked` when no attempt succeeded.
    """
    measured, lock, stop = Measured(), threading.Lock(), threading.Event()
    begins = time.perf_counter() + warm_up
    warm = threading.Timer(warm_up, when_warm)

    def client(number: int) -> None:
        while not stop.is_set():
            started = time.perf_counter()
            try:
                work(number)
            except OutOfWork:
                stop.set()
                return
            except (requests.RequestException, GatewayError):
                with lock:
                    measured.failures += 1
                    if measured.failures >= MOST_FAILURES:
                        stop.set()
                continue
            ended = time.perf_counter()
            if started >= begins:
                with lock:
                    measured.durations.append(ended - started)

    with ThreadPoolExecutor(clients) as pool:
        warm.start()
        running = [pool.submit(client, number) for number in range(clients)]
        stop.wait(warm_up + seconds)
        stop.set()
        for each in running:
            each.result()
    # Whatever was still under way at the end counts, and so does the time it took.
    measured.seconds = time.perf_counter() - begins
    warm.join()
    if not measured.durations:
        raise NothingWorked(f"nothing succeeded; {measured.failures} attempts failed")
    return measured


def seconds_each(work: Callable[[], object], *, for_seconds: float) -> float:
    """How long one call takes in this thread alone: the median over `for_seconds`.

    The median, because a floor is what the machine can do when nobody disturbs it.
    """
    work()
    durations, ends = [], time.perf_counter() + for_seconds
    while (started := time.perf_counter()) < ends:
        work()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that these processes have used so far (proc_pid_stat(5), fields 14 and 15)."""
    ticks = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            continue
        # The second field is the program's name in brackets, and may hold spaces itself.
        fields = stat.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
