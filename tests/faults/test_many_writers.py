"""Sixty-four writers in four processes: nobody starves, one process is killed, and nothing acknowledged is lost."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from tests.kit.log import TestLog
from tests.kit.processes import REPOSITORY, tied_to_this_process

pytestmark = [pytest.mark.prove, pytest.mark.timeout(150)]

PROCESSES, THREADS = 4, 16
ENOUGH = 800
"""Events of each process: fifty of each thread, were they all served alike."""
FAIR = 0.25
"""What the thread with fewest must have done of what the one with most did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    process: "subprocess.Popen[str]"
    printed: Path

    def acknowledged(self) -> list[tuple[int, UUID]]:
        # A process that was killed may have printed half a line.
        whole = self.printed.read_text().rpartition("\n")[0].splitlines()[1:]
        return [(int(thread), UUID(event_id)) for thread, event_id in (line.split() for line in whole)]


@pytest.fixture
def writers(database_url: str, tmp_path: Path) -> Iterator[list[Writer]]:
    command = [sys.executable, "-m", "tests.faults.recording", database_url, str(tmp_path), str(THREADS)]
    started = []
    for number in range(PROCESSES):
        printed = tmp_path / f"writer-{number}.txt"
        with printed.open("wb") as output:
            process = subprocess.Popen(
                tied_to_this_process(command), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=output, text=True
            )
        started.append(Writer(process=process, printed=printed))
    yield started
    for writer in started:
        writer.process.kill()
        writer.process.communicate()


def wait_until(true: Callable[[], bool], *, within_seconds: float = 90) -> None:
    deadline = time.monotonic() + within_seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_nobody_starves_and_nothing_acknowledged_is_lost(log: TestLog, writers: list[Writer]) -> None:
    wait_until(lambda: all(writer.printed.read_text().startswith("ready\n") for writer in writers))
    for writer in writers:
        assert writer.process.stdin is not None
        writer.process.stdin.write("begin\n")
        writer.process.stdin.flush()
    wait_until(lambda: min(len(writer.acknowledged()) for writer in writers) >= ENOUGH)
    served = Counter((writer.process.pid, thread) for writer in writers for thread, _ in writer.acknowledged())

    writers[0].process.kill()
    writers[0].process.wait()
    before = [len(writer.acknowledged()) for writer in writers[1:]]
    # Whoever was killed in its turn holds up nobody.
    wait_until(
        lambda: all(
            len(writer.acknowledged()) > count + ENOUGH / 4 for writer, count in zip(writers[1:], before, strict=True)
        )
    )
    for writer in writers[1:]:
        writer.process.terminate()
    assert [writer.process.wait(60) for writer in writers[1:]] == [0, 0, 0]

    assert len(served) == PROCESSES * THREADS
    assert min(served.values()) >= FAIR * max(served.values())
    acknowledged = [event_id for writer in writers for _, event_id in writer.acknowledged()]
    log.publish()
    leaves = log.assert_verifies()
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(map(str, acknowledged)) <= {leaf.event_id for leaf in leaves}
    # Beyond what was acknowledged there is at most what the killed process was about to acknowledge.
    assert len(leaves) - len(acknowledged) <= THREADS
