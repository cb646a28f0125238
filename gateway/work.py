"""What runs beside the web: the log is sequenced, abandoned exchanges are closed, what has expired is purged.

Each task is safe to run in several processes at once: the sequencer elects itself by lock, the others claim rows.
A task that fails is logged and tried again at its next turn; it never stops the others.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import structlog

from gateway.app import Gateway
from gateway.audit.keeping.erase import reapply_erasures
from gateway.audit.keeping.forget import forget_expired
from gateway.audit.log_alerts import sequencing, watching
from gateway.audit.sequencer import BATCH
from gateway.clock import SteadyClock
from gateway.errors import GatewayError
from gateway.purging import GROWTHS, Growth, Purging, sessions
from gateway.sharing.exchange.documents.sweeping import sweep_spool
from gateway.sharing.exchange.outcomes import close_abandoned

log = structlog.get_logger("gateway.work")

LONGEST_PAUSE = 30.0
MOST_DOUBLINGS = 4  # what is done often is soon tried again: the log within seconds of its disk's or witnesses' return
BATCHES_A_TURN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something done every `every` seconds; `run` returns how much it did."""

    name: str
    every: float
    run: Callable[[], int]
    whole: int | None = 1
    """How much a run does when more is waiting: then it is run again at once. None: a run does all there is."""
    apart: bool = False
    """Done in a thread of its own: it may wait for others, and nothing else waits for it."""
    also_at_the_end: bool = False
    """Done once more when told to stop: what others left for it must not wait for the next start."""


def tasks(gateway: Gateway) -> tuple[Task, ...]:
    """Return everything this process does."""
    database, clock = gateway.database, gateway.clock
    steady = SteadyClock(clock)
    sequence = sequencing(gateway.sequencer().run_once, gateway.alerts)

    def forgotten() -> int:
        with database.write() as session:
            return forget_expired(session, gateway.audit, periods=gateway.retention, now=steady.now())

    def erased() -> int:
        returned = reapply_erasures(database, gateway.audit)
        if returned:
            log.warning("keys of erased people had come back and are destroyed again", count=returned)
        return 0

    def abandoned() -> int:
        with database.write() as session:
            return close_abandoned(session, gateway.registrar, now=clock.now())

    def swept() -> int:
        sweep_spool(database, gateway.spool, now=steady.now())
        return 0

    def noise() -> int:
        with database.write() as session:
            return gateway.audit.flush_noise(session, now=clock.now())

    def purging(growths: Sequence[Growth]) -> Callable[[], int]:
        return Purging(database=database, growths=growths, now=steady.now, pause=gateway.stopping.wait).run_once

    return (
        Task(
            name="sequence",
            every=gateway.settings.sequencer_interval,
            run=sequence,
            whole=BATCH,
            apart=True,  # it asks witnesses
            also_at_the_end=True,
        ),
        Task(name="watch the merge delay", every=1.0, run=watching(gateway.merge_delay(), gateway.alerts)),
        Task(name="close abandoned exchanges", every=1.0, run=abandoned),
        Task(name="clear the spool", every=5.0, run=swept),
        Task(name="deliver", every=1.0, run=gateway.courier().run_once, apart=True),  # it calls other systems
        Task(name="end sessions", every=5.0, run=purging((sessions(gateway.people.ends),)), whole=None, apart=True),
        Task(name="count noise", every=10.0, run=noise),
        Task(name="purge", every=15.0, run=purging(GROWTHS), whole=None, apart=True),
        Task(name="finish erasures", every=600.0, run=erased),
        Task(name="rotate keys", every=60.0, run=gateway.key_schedule().run_once, apart=True),  # a module may be slow
        Task(name="forget details", every=3600.0, run=forgotten),
    )


def run_forever(jobs: Sequence[Task], stop: threading.Event) -> None:
    """Do every task at its pace until `stop` is set; more work waiting means no pause."""
    due = dict.fromkeys((task.name for task in jobs), 0.0)
    failures = dict.fromkeys((task.name for task in jobs), 0)
    while not stop.is_set():
        for task in jobs:
            if time.monotonic() < due[task.name]:
                continue
            failures[task.name] = 0 if _done(task) else failures[task.name] + 1
            pause = task.every * 2 ** min(failures[task.name], MOST_DOUBLINGS)
            due[task.name] = time.monotonic() + min(pause, max(task.every, LONGEST_PAUSE))
        stop.wait(max(0.0, min(due.values()) - time.monotonic()))
    for task in jobs:
        if task.also_at_the_end:
            _done(task)


def run_until_signalled(gateway: Gateway) -> None:
    """Work until SIGTERM or SIGINT; the task at hand is finished, and what was recorded by then is published."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        gateway.stopping.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    log.info("working")
    jobs = tasks(gateway)
    apart = [threading.Thread(target=run_forever, args=([job], stop), name=job.name) for job in jobs if job.apart]
    for thread in apart:
        thread.start()
    run_forever([job for job in jobs if not job.apart], stop)
    for thread in apart:
        thread.join()
    gateway.database.close()


def _done(task: Task) -> bool:
    try:
        for _ in range(BATCHES_A_TURN):
            done = task.run()
            if task.whole is None or done < task.whole:
                break
    except GatewayError as error:
        log.error("task failed", task=task.name, code=error.code, reason=error.public, detail=error.detail)  # noqa: TRY400 - no traceback: it may hold data
        return False
    except Exception as error:  # noqa: BLE001 - one task's fault must not stop the others
        log.error("task failed", task=task.name, error=type(error).__name__)  # noqa: TRY400 - as above
        return False
    return True
