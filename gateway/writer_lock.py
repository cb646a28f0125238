"""Turns to write to the embedded database: one at a time on this machine, in order, with a limit to the wait."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoTurn(Exception):
    """No turn came in time."""


class WriterLock:
    """One writer at a time on the embedded database, across the threads and processes of this machine.

    Who finds it taken is woken by the kernel, in order: asking again and again would leave the lock idle in between,
    and give it to whoever asks at the right moment, which under load is never the same unlucky writer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._given_up: _FileTurn | None = None

    @contextmanager
    def held(self, *, timeout: float) -> Iterator[None]:
        """Hold the lock for the block; raises `NoTurn` after `timeout` seconds without it."""
        deadline = time.monotonic() + timeout
        if not self._threads.acquire(timeout=timeout):
            raise NoTurn("no turn to write in this process")
        try:
            # One that an earlier writer gave up may still be waited for: there is never more than one in a process.
            turn, self._given_up = self._given_up, None
            if turn is None or not turn.take_up():
                turn = _FileTurn(self._path)
            if not turn.wait(max(0.0, deadline - time.monotonic())):
                self._given_up = turn
                raise NoTurn("no turn to write among the processes")
            try:
                yield
            finally:
                turn.end()
        finally:
            self._threads.release()


class _FileTurn:
    """One wait for the file lock. A thread of its own does the waiting, because flock(2) itself knows no time limit."""

    def __init__(self, path: Path) -> None:
        self._process = os.getpid()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._guard = threading.Lock()
        self._wanted = True
        self._passed = False
        self._come = threading.Lock()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._come.acquire()
            threading.Thread(target=self._wait_in_line, name="turn to write", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for the turn; False, and it is given up, when it has not come by then."""
        if self._come.acquire(timeout=seconds):
            return True
        with self._guard:
            self._wanted = self._come.acquire(blocking=False)
            return self._wanted

    def take_up(self) -> bool:
        """Want a turn again that was given up; False when it has come and gone, or was another process's wait."""
        if self._process != os.getpid():
            return False
        with self._guard:
            self._wanted = not self._passed
            return self._wanted

    def end(self) -> None:
        """Let the next one write: closing releases the lock."""
        os.close(self._descriptor)

    def _wait_in_line(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._guard:
            if self._wanted:
                self._come.release()
            else:
                self._passed = True
                self.end()
