"""How fast the log takes entries in, and how soon they are published: durable appends, publish delay, catching up."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.appending import PEOPLE, WARM_UP, an_event
from benchmarks.figures import Figure, Work, figure
from benchmarks.floor import Floor
from benchmarks.measuring import Measured
from gateway.audit.models import EventRow
from gateway.clock import SystemClock
from gateway.db import Database
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog
from tests.kit.processes import REPOSITORY, tied_to_this_process

WRITERS = ((1, 1), (1, 4), (1, 16), (4, 16))
"""Processes, and threads in each."""
PACE = 500
"""Events a second under which the publish delay is measured."""
SEQUENCER_INTERVAL = 0.2
"""As `gateway work` has it unless told otherwise."""
BACKLOG = 40_000
_ROWS_AT_ONCE = 1000


def durable_appends(database: Database, floor: Floor, *, name: str, folder: Path, seconds: float) -> list[Figure]:
    """Entries of their own, each waited for until it is durable, by ever more writers at once."""
    figures = []
    for processes, threads in WRITERS:
        measured, spread = _load(database, folder, processes=processes, threads=threads, seconds=seconds, pace=0)
        title = f"durable appends, {threads} threads" + (f" in each of {processes} processes" if processes > 1 else "")
        figures.append(
            figure(
                title if threads > 1 else "durable appends, 1 thread",
                measured,
                database=name,
                clients=processes * threads,
                floor_per_second=Work(commits=1).floor(floor),
                floor_of=f"1 fsync; the thread with fewest made {spread:.2f} of what the one with most did",
            )
        )
    return figures


def publish_delay(database: Database, *, name: str, folder: Path, seconds: float) -> Figure:
    """From an event's time to its being under a published checkpoint, with `PACE` events a second coming in."""
    log, stop, published = _log(database, folder), threading.Event(), [(0, time.time())]

    def sequence() -> None:
        sequencer, due = log.sequencer(), time.monotonic()
        while not stop.is_set():
            if newly := sequencer.run_once():
                published.append((published[-1][0] + newly, time.time()))
            due = max(due + SEQUENCER_INTERVAL, time.monotonic())
            stop.wait(due - time.monotonic())

    sequencing = threading.Thread(target=sequence)
    sequencing.start()
    try:
        _load(database, folder, processes=1, threads=16, seconds=seconds, pace=PACE)
        time.sleep(2 * SEQUENCER_INTERVAL)
    finally:
        stop.set()
        sequencing.join()
    measured = Measured(seconds=seconds, durations=_delays(database, published))
    return figure(
        f"publish delay at {PACE} events a second",
        measured,
        database=name,
        clients=16,
        floor_per_second=PACE,
        floor_of=f"the pace asked for; published every {SEQUENCER_INTERVAL} s, as by `gateway work`",
    )


def catch_up(database: Database, floor: Floor, *, name: str, folder: Path) -> Figure:
    """A backlog numbered, written and published by one sequencer; a duration is that of one of its batches."""
    log, at = _log(database, folder), SystemClock().now()
    audit = log.audit
    for begin in range(0, BACKLOG, _ROWS_AT_ONCE):
        with database.write() as session:
            for number in range(begin, begin + _ROWS_AT_ONCE):
                audit.append(session, an_event(number % PEOPLE), at=at)
    sequencer, durations, published = log.sequencer(), [], 0
    while published < BACKLOG:
        began = time.perf_counter()
        published += sequencer.run_once()
        durations.append(time.perf_counter() - began)
    log.assert_verifies()
    return figure(
        f"catching up on {BACKLOG:,} entries",
        Measured(seconds=sum(durations), durations=durations),
        database=name,
        clients=1,
        count=BACKLOG,
        floor_per_second=1 / (2 * floor.sha256_kibibyte),
        floor_of="2 SHA-256 of 1 KiB",
    )


def _load(
    database: Database, folder: Path, *, processes: int, threads: int, seconds: float, pace: float
) -> tuple[Measured, float]:
    """Let processes append all at the same time; what they measured, and how evenly it was shared among threads."""
    url = database.url.render_as_string(hide_password=False)
    (folder / "subject-keys").mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.appending", url, str(folder), str(threads), str(seconds), str(pace)]
    running = [
        subprocess.Popen(
            tied_to_this_process(command), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes)
    ]
    try:
        for process in running:
            _line(process)
        for process in running:
            assert process.stdin is not None
            process.stdin.write("begin\n")
            process.stdin.flush()
        results = [json.loads(_line(process)) for process in running]
        for process in running:
            process.wait(30)
    finally:
        for process in running:
            process.kill()
            process.wait()
    each = [durations for result in results for durations in result["durations"]]
    measured = Measured(
        seconds=seconds,
        durations=[duration for durations in each for duration in durations],
        failures=sum(result["failures"] for result in results),
    )
    return measured, min(map(len, each)) / max(1, *map(len, each))


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _log(database: Database, folder: Path) -> TestLog:
    signer = PrivateKeySigner.generate("Ed25519")
    return TestLog(database=database, directory=folder, signer=signer, clock=FrozenClock())


def _delays(database: Database, published: Sequence[tuple[int, float]]) -> list[float]:
    """Seconds from each event to the first checkpoint that covered it; those of the warm-up left out."""
    places = select(EventRow.leaf_index, EventRow.occurred_at).where(EventRow.leaf_index >= WARM_UP)
    with database.read() as session:
        rows = session.execute(places.order_by(EventRow.leaf_index)).all()
        unpublished = session.scalar(select(func.count()).where(EventRow.leaf_index.is_(None)))
    assert not unpublished, "the sequencer did not keep up"
    delays, turn = [], 0
    for index, occurred_at in rows:
        while index is not None and published[turn][0] <= index:
            turn += 1
        delays.append(published[turn][1] - occurred_at.timestamp())
    return delays
