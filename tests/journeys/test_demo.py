"""`gateway demo` as somebody types it: walked once, again, in the way of others, and ended in every way there is."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.verify import verify_log
from tests.kit.processes import Child, Processes, Running, free_port, kill

STEPS = ("discovery", "sign-in", "record", "check", "refusal", "refusal", "auditor", "log", "proof", "proof")
READY_SECONDS = 120
STOP_SECONDS = 30
ALL_PROCESSES = 9
FEW = "20000"
"""At this scale there are 32 officers and as many others: enough to see that they are written."""


def free_ports() -> int:
    """The first of three neighbouring ports that were free a moment ago."""
    while True:
        first = free_port()
        try:
            for port in (first, first + 1, first + 2):
                with closing(socket.socket()) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


def demo(processes: Processes, state: Path, *options: str, port: int | None = None, name: str = "demo") -> Running:
    command = [sys.executable, "-m", "gateway", "demo", "--state", str(state), "--port", str(port or free_ports())]
    command += ["--scale", FEW]
    return processes.start([*command, *options], env={}, name=name)


def walked(running: Running) -> list[str]:
    """Wait for a demonstration to end well; the steps it told, in order."""
    assert running.process.wait(READY_SECONDS) == 0, running.output()
    assert running.output().splitlines()[-1] == "every step held"
    return steps_told(running)


def steps_told(running: Running) -> list[str]:
    lines = running.output().splitlines()
    return [line.removeprefix("ok  ").partition(":")[0] for line in lines if line.startswith("ok  ")]


def log_of(state: Path) -> int:
    """The size of the log, verified from its files with the keys that were handed out."""
    keys = json.loads((state / "demo" / "public-keys.json").read_text())
    return verify_log(FileSource(state / "log"), vkey=keys["log_vkey"]).size


def keys_of(state: Path) -> dict[str, bytes]:
    folders = (state / "keys", state / "demo" / "keys")
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def wait_for_words(running: Running, words: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while words not in running.output():
        assert running.process.poll() is None, running.output()
        assert time.monotonic() < deadline, running.output()
        time.sleep(0.05)


@contextmanager
def all_processes(running: Running) -> Iterator[list[Child]]:
    """Everything below it, once all of it is there: serve with its work and two workers, two small applications."""
    deadline = time.monotonic() + READY_SECONDS
    while len(below := running.descendants()) < ALL_PROCESSES:
        assert time.monotonic() < deadline, running.output()
        time.sleep(0.05)
    try:
        yield below
    finally:
        for child in alive(below):  # a failing test leaves nothing behind either
            kill(child.pid)


def alive(children: list[Child]) -> list[Child]:
    found = []
    for child in children:
        try:
            stat = Path(f"/proc/{child.pid}/stat").read_text()
        except FileNotFoundError:
            continue
        if stat.rpartition(")")[2].split()[0] != "Z":
            found.append(child)
    return found


def assert_all_end(children: list[Child], *, within_seconds: float = STOP_SECONDS) -> None:
    deadline = time.monotonic() + within_seconds
    while (left := alive(children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def test_every_step_holds_and_a_second_run_goes_on_where_the_first_ended_until_ctrl_c(
    tmp_path: Path, server_processes: Processes
) -> None:
    state = tmp_path / "state"
    assert tuple(walked(demo(server_processes, state, "--once", name="first"))) == STEPS
    size, keys = log_of(state), keys_of(state)
    accounts = (state / "demo" / "accounts.json").read_bytes()
    assert len(keys) >= 8
    # Private keys and passwords are for their owner alone.
    assert {path.stat().st_mode & 0o077 for path in (state / "keys").iterdir() if path.suffix != ".json"} == {0}
    assert (state / "demo" / "accounts.json").stat().st_mode & 0o077 == 0
    assert_operators_commands_work_on(state)

    second = demo(server_processes, state, name="second")
    wait_for_words(second, "Ctrl-C stops everything")
    with all_processes(second) as below:
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(STOP_SECONDS) == 0, second.output()
        assert alive(below) == []
    assert second.output().rstrip().endswith("stopping")
    assert tuple(steps_told(second)) == STEPS
    logs = [second.log, *(state / "demo" / "logs").iterdir()]
    assert [log for log in logs if "Traceback" in log.read_text()] == []
    assert keys_of(state) == keys
    assert (state / "demo" / "accounts.json").read_bytes() == accounts
    assert log_of(state) > size


def assert_operators_commands_work_on(state: Path) -> None:
    environment = state / "demo" / "environment"
    checked = subprocess.run(
        ["/bin/sh", "-c", f". {environment} && {sys.executable} -m gateway audit verify"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "verify" in checked.stdout


@pytest.mark.parametrize("offset", [0, 2])
def test_a_taken_port_is_told_in_one_line_and_nothing_is_started(
    offset: int, tmp_path: Path, server_processes: Processes
) -> None:
    first = free_ports()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", first + offset))
        taken.listen()
        running = demo(server_processes, tmp_path / "state", "--once", port=first)
        assert running.process.wait(30) == 1
    told = running.output().splitlines()
    assert len(told) == 1
    assert f"Port {first + offset} is taken" in told[0]
    assert "--port" in told[0]
    assert not (tmp_path / "state").exists()


def test_a_folder_with_something_else_in_it_is_not_emptied(tmp_path: Path, server_processes: Processes) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    running = demo(server_processes, tmp_path, "--once", "--fresh")
    assert running.process.wait(30) == 1
    assert "holds no demonstration" in running.output()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


# What Python itself says where a signal comes while it tidies up; the demonstration ends nevertheless.
WHILE_TIDYING_UP = re.compile(r"Exception ignored in: .*\nTraceback .*\n(?: .*\n)+KeyboardInterrupt: ?\n")


def test_sigterm_while_it_starts_stops_what_was_started(tmp_path: Path, server_processes: Processes) -> None:
    running = demo(server_processes, tmp_path / "state", "--once")
    with all_processes(running) as below:
        running.process.terminate()
        assert running.process.wait(STOP_SECONDS) == 1, running.output()
        assert alive(below) == []
    assert "Traceback" not in WHILE_TIDYING_UP.sub("", running.output())
    assert "every step held" not in running.output()


def test_nothing_lingers_when_it_is_killed_outright(tmp_path: Path, server_processes: Processes) -> None:
    running = demo(server_processes, tmp_path / "state")
    with all_processes(running) as below:
        running.process.kill()
        running.process.wait()
        deadline = time.monotonic() + STOP_SECONDS
        while (left := alive(below)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []


def test_a_second_demonstration_keeps_out_of_a_folder_in_use(server_processes: Processes, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    held = os.open(state, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = demo(server_processes, state, "--once", "--fresh")
        assert second.process.wait(timeout=30) == 1
    finally:
        os.close(held)
    assert "A demonstration is running in" in second.output()
    assert "--state" in second.output()
    assert list(state.iterdir()) == []
