"""Work on a log in a process of its own, so that it can be killed or its calls can fail."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from gateway.db import Database
from gateway.errors import GatewayError
from tests.kit.log import TestLog, an_event

Job = Callable[[TestLog], None]
STRIDE = {"pwrite64": 3, "sendto": 3}
"""A recorder writes the same few things to the database again and again: every third such call stands for all."""


def apart(log: TestLog, job: Job) -> Callable[[], None]:
    """`job` for a forked process: with a database that was not open before the fork. Ours is closed."""
    url, timeout = log.database.url.render_as_string(hide_password=False), log.database.timeout
    log.database.close()
    return lambda: job(replace(log, database=Database(url, timeout=timeout)))


def sequence_once(log: TestLog) -> None:
    """One run of the sequencer."""
    log.sequencer().run_once()


def sequence_until_quiet(log: TestLog) -> None:
    """Run the sequencer as `gateway work` does: a run that fails is logged, and the next one has its turn."""
    sequencer = log.sequencer()
    for _ in range(5):
        try:
            if sequencer.run_once() == 0:
                return
        except (GatewayError, OSError):
            continue
    raise AssertionError("the sequencer never came to rest")


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Records events elsewhere and tells here of each that was acknowledged."""

    _read_end: int
    _write_end: int
    newcomer: str = "newcomer"
    """A person whom no job before has heard of, where the test says so."""

    def record_some(self, log: TestLog) -> None:
        """Two events about the newcomer, one about a person known, one about nobody.

        What fails is not acknowledged, and the next one has its turn.
        """
        for subject in (self.newcomer, self.newcomer, "person-1", None):
            try:
                with log.database.write() as session:
                    entry = log.audit.append(session, an_event(subject=subject), at=log.clock.now())
                os.write(self._write_end, entry.event_id.bytes)
            except (GatewayError, OSError):
                continue

    def acknowledged(self) -> set[UUID]:
        """What was acknowledged since the last time this was asked."""
        told = b""
        while True:
            try:
                told += os.read(self._read_end, 4096)
            except BlockingIOError:
                return {UUID(bytes=told[at : at + 16]) for at in range(0, len(told), 16)}


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A recorder whose jobs may be run apart."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    try:
        yield Recorder(_read_end=read_end, _write_end=write_end)
    finally:
        os.close(read_end)
        os.close(write_end)
