"""Real processes for tests: started on loopback, waited for, logged to a file, ended by their own process id."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import requests

REPOSITORY = Path(__file__).resolve().parents[2]

# What a process of ours needs from the tester's environment. Settings (GATEWAY_*) are stated by each test.
INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"),
    # The clock that a test has given to all processes (tests/kit/faketime.py).
    *("LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"),
    "PYTHONPATH",
)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago.

    Below those that the system gives to outgoing connections: one of those may be taken before a server gets to it.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def tied_to_this_process(args: Sequence[str], *, signal_name: str = "TERM") -> list[str]:
    """`args` as a command that the kernel ends with `signal_name` should the test run itself die, where Linux can."""
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", signal_name] if setpriv else []), *args]


class DidNotStart(RuntimeError):
    """A process ended, or stayed silent, before it answered; the message holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process below another one: its id and its command line, arguments joined by spaces."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A started process and the file that receives everything it prints."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        """Everything printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def descendants(self) -> list[Child]:
        """Every process below this one that is alive now, nearest first (Linux only)."""
        return descendants_of(self.pid)

    def kill_all(self) -> None:
        """SIGKILL to it and everything below it, as when the machine is lost."""
        for pid in (*(child.pid for child in self.descendants()), self.pid):
            kill(pid)
        self.process.wait()

    def stop(self, *, within_seconds: float = 15) -> int:
        """Ask it to end (SIGTERM), insist (SIGKILL) after `within_seconds`; the exit status."""
        # Taken while the tree is whole: a supervisor that has to be killed would leave its children behind.
        below = self.descendants()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for child in below:
            kill(child.pid)
        return status


@dataclass(slots=True, kw_only=True)
class Processes:
    """The processes of one test, stopped together, the last started first."""

    logs: Path
    running: list[Running] = field(default_factory=list)

    def start(
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str],
        name: str,
        ready_url: str | None = None,
        ca_file: Path | None = None,
        within_seconds: float = 30,
        cwd: Path = REPOSITORY,
    ) -> Running:
        """Start `args` and return once `ready_url` answers with a status below 500.

        `env` is added to the few variables of `INHERITED`. Output goes to `<logs>/<name>.log`.
        Raises DidNotStart with the end of that log.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        with log.open("ab") as output:
            process = subprocess.Popen(
                tied_to_this_process(args),
                env={**inherited, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started = Running(process=process, log=log)
        self.running.append(started)
        if ready_url is not None:
            _wait_until_it_answers(started, ready_url, ca_file=ca_file, within_seconds=within_seconds)
        return started

    def stop_all(self) -> None:
        """Stop whatever still runs."""
        while self.running:
            self.running.pop().stop()


@contextmanager
def processes(logs: Path) -> Iterator[Processes]:
    """A place to start processes in; all are stopped at the end, whatever happens."""
    group = Processes(logs=logs)
    try:
        yield group
    finally:
        group.stop_all()


def descendants_of(pid: int) -> list[Child]:
    """Every process below this one that is alive now, nearest first (Linux only)."""
    found: list[Child] = []
    waiting = [pid]
    while waiting:
        for child in _children_of(waiting.pop(0)):
            waiting.append(child)
            found.append(Child(pid=child, command=_command_of(child)))
    return found


def kill(pid: int) -> None:
    """SIGKILL, as a crash or the kernel's out-of-memory killer would; nothing if it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait_until_it_answers(started: Running, url: str, *, ca_file: Path | None, within_seconds: float) -> None:
    deadline = time.monotonic() + within_seconds
    with requests.Session() as session:
        # A proxy in the tester's environment must not see, or answer, calls to loopback.
        session.trust_env = False
        while time.monotonic() < deadline:
            if started.process.poll() is not None:
                raise DidNotStart(f"exit status {started.process.returncode}\n{_tail(started)}")
            try:
                answer = session.get(url, timeout=2, verify=str(ca_file) if ca_file else True, allow_redirects=False)
            except requests.RequestException:
                time.sleep(0.05)
                continue
            if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                return
            time.sleep(0.05)
    raise DidNotStart(f"{url} did not answer within {within_seconds:g} s\n{_tail(started)}")


def _tail(started: Running) -> str:
    return "\n".join(started.output().splitlines()[-40:])


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.extend(int(child) for child in listing.read_text().split())
        except FileNotFoundError:  # The thread ended between the listing and the reading.
            continue
    return found


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
