"""Faults at one chosen system call of one process, by Debian's `strace`: it dies there, or the call fails.

strace counts each kind of call for each thread by itself, so a place is "the 3rd fsync". A process that is to be
watched from its first instruction is forked from this one, everything imported, and waits until strace holds it.
"""

import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ATTACH_SECONDS = 10
LET_GO_SECONDS = 3
LASTING = (
    *("write", "pwrite64", "ftruncate", "fsync", "fdatasync"),
    *("rename", "renameat", "renameat2", "link", "unlink", "unlinkat", "mkdir", "rmdir"),
    "sendto",
)
"""The calls by which a process changes what outlives it; `sendto` is how libpq speaks to its server."""


class NoStrace(RuntimeError):
    """strace is missing or may not trace; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens at the `when`th call of this name in each thread; `when` may be strace's `3+`, from the 3rd on.

    `then` is `signal=SIGKILL` (the call itself is not made) or `error=EIO` (it is not made, and fails).
    """

    call: str
    when: int | str
    then: str

    def __str__(self) -> str:
        """As strace's argument."""
        # Not every machine has every call under every name: the question mark lets strace pass over those.
        return f"inject=?{self.call}:{self.then}:when={self.when}"


def dies_at(call: str, when: int) -> Fault:
    """The process is killed in place of its `when`th call."""
    return Fault(call=call, when=when, then="signal=SIGKILL")


def fails_at(call: str, when: int | str, *, error: str) -> Fault:
    """The `when`th call is not made, and fails with `error`, such as EIO."""
    return Fault(call=call, when=when, then=f"error={error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a watched process ended: its exit status as `os.waitstatus_to_exitcode` tells it, and what strace saw."""

    status: int
    seen: str

    @property
    def killed(self) -> bool:
        """Whether the fault ended it."""
        return self.status == -signal.SIGKILL

    @property
    def struck(self) -> bool:
        """Whether the fault came to be at all: a call that failed, or the end of the process."""
        return self.killed or "(INJECTED)" in self.seen


@contextmanager
def faults_in(pids: Collection[int], *faults: Fault, output: Path) -> Iterator[None]:
    """Let these faults happen in running processes, from now on and until the block ends; raises `NoStrace`.

    Every thread has them. The calls in question, and their ends, are written to `output`.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise NoStrace("these tests need strace. Run scripts/system-packages.sh, or install: strace")
    names = ",".join(f"?{fault.call}" for fault in faults)
    told = output.with_suffix(".said")
    arguments = [strace, "-f", "-y", "-o", str(output), "-e", f"trace={names}"]
    for fault in faults:
        arguments += ["-e", str(fault)]
    with told.open("wb") as errors:
        tracer = subprocess.Popen(
            [*arguments, "-p", " ".join(map(str, pids))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        _wait_until_attached(tracer, told, pids)
        yield
    finally:
        _let_go(tracer)


def run_with_faults(job: Callable[[], None], *faults: Fault, output: Path, within_seconds: float = 30) -> Ended:
    """Run `job` in a forked process in which these faults happen.

    Nothing that is open here may be used there: databases are to be closed before, and opened anew by the job.
    """
    wait_end, go_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_end)
        _run_when_told(job, wait_end)
    os.close(wait_end)
    try:
        with faults_in([pid], *faults, output=output):
            os.write(go_end, b"!")
            status = _waited_for(pid, within_seconds)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(go_end)
    return Ended(status=status, seen=output.read_text(errors="replace"))


def _let_go(tracer: subprocess.Popen[bytes]) -> None:
    """End strace; what it held runs on. It waits for what is stopped or dying: then the kernel lets go for it."""
    if tracer.poll() is None:
        tracer.send_signal(signal.SIGINT)
    try:
        tracer.wait(LET_GO_SECONDS)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait()


def _run_when_told(job: Callable[[], None], wait_end: int) -> None:
    """Never returns: the child must not run on as a second test run."""
    status = 1
    try:
        if os.read(wait_end, 1):
            job()
            status = 0
    except BaseException:  # noqa: BLE001 - the parent sees the status, the test's output the reason
        traceback.print_exc()
    finally:
        os._exit(status)


def _waited_for(pid: int, within_seconds: float) -> int:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    raise AssertionError(f"the process did not end within {within_seconds:g} seconds")


def _wait_until_attached(tracer: subprocess.Popen[bytes], told: Path, pids: Collection[int]) -> None:
    deadline = time.monotonic() + ATTACH_SECONDS
    while time.monotonic() < deadline and tracer.poll() is None:
        if told.read_bytes().count(b" attached") >= len(pids):
            return
        time.sleep(0.002)
    tracer.kill()
    tracer.wait()
    said = told.read_text(errors="replace").strip()
    raise NoStrace(
        f"strace could not attach to {', '.join(map(str, pids))}: {said}. These tests need the right to trace: run "
        "them as root, or with /proc/sys/kernel/yama/ptrace_scope at 0 and, in a container, the capability SYS_PTRACE"
    )
