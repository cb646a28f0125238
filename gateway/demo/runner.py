"""Start the demonstration's processes, walk the journey, stay up until told to stop."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import pyotp
import requests
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.children import end_child, start_child
from gateway.clock import SystemClock
from gateway.demo.layout import Layout
from gateway.demo.world import DemoAccount
from gateway.errors import GatewayError, Kind
from gateway.settings import Settings, process_environment

READY_SECONDS = 60.0
STOP_SECONDS = 35.0
CODE_SECONDS = 30
CODES_A_LINE = 4
_ASKED_TO_END = threading.Event()


class DemoCannotStart(GatewayError):
    """Something outside the demonstration is in its way."""

    kind = Kind.UNAVAILABLE
    code = "demo_cannot_start"
    title = "The demonstration cannot start"


def check_ports_free(layout: Layout) -> None:
    """Refuse in one line when another program listens where we would; raises `DemoCannotStart`."""
    for port in (layout.gateway_port, layout.provider_port, layout.portal_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                message = (
                    f"Port {port} is taken: stop what uses it, or choose others, such as `gateway demo --port 9000`."
                )
                raise DemoCannotStart(message) from None


@contextmanager
def running(layout: Layout, settings: Settings | None = None) -> Iterator[Mapping[str, subprocess.Popen[bytes]]]:
    """Run gateway (with its `work`), departments and portal as processes of their own; stop them at the end.

    Yields the processes by name. `settings` replace the layout's own for the gateway.
    """
    logs = layout.world_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = process_environment(settings or layout.settings())
    ca_file = str(layout.ca_file or "")
    department = (
        f"gateway.demo.department:make_app({str(layout.world_dir)!r}, {layout.gateway!r}, {layout.provider!r}, "
        f"{ca_file!r})"
    )
    portal = (
        f"gateway.demo.portal:make_app({str(layout.world_dir / 'keys')!r}, {layout.gateway!r}, {layout.portal!r}, "
        f"{ca_file!r})"
    )
    commands = {
        "gateway": [sys.executable, "-m", "gateway", "serve"],
        "department": gunicorn(department, layout.provider_port, layout),
        "portal": gunicorn(portal, layout.portal_port, layout),
    }
    addresses = {
        "gateway": f"{layout.gateway}/readyz",
        "department": f"{layout.provider}/healthz",
        "portal": f"{layout.portal}/healthz",
    }
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(_process(name, command, environment, logs / f"{name}.log"))
            for name, command in commands.items()
        }
        for name, process in started.items():
            _wait_until_ready(name, process, addresses[name], logs / f"{name}.log", layout.ca_file)
        yield started


def end_on_signals() -> None:
    """Let SIGTERM, and SIGINT even where a shell made us ignore it, end the demonstration as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        _ASKED_TO_END.set()
        # Once is enough: a second signal must not cut short the orderly end that the first one began.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)


def end_if_asked() -> None:
    """Raise `KeyboardInterrupt` again: where it came while Python was tidying up, nobody ever saw it."""
    if _ASKED_TO_END.is_set():
        raise KeyboardInterrupt


def stay(layout: Layout, accounts: Mapping[str, DemoAccount]) -> None:
    """Say what to try, and show fresh security codes until Ctrl-C."""
    # Lines are short enough for any terminal, and never cut: passwords and codes are there to be copied.
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"""
The demonstration is running. All people are invented.

  {layout.portal}
      the council's desk: sign in as the officer, then choose what to ask
      other desks: /burnley /dwp /cabinet-office /tfl
  {layout.gateway}
      the gateway: sign in as the auditor, then look at the exchanges
      (in another browser or a private window: one browser, one person)
  {layout.gateway}/log/checkpoint
      the log, for everybody

What to try at the council's desk
  Testcase, 1 1 1988, QQ 12 34 56 C   has records; ask for what is not covered,
  (Ada; access code V123456789ABC)    too, to see a refusal
  Sample, 29 2 1992, QQ 12 34 57 A    lives in Burnley: no Blue Badge record
  Demo, 1 1 1985, QQ 12 34 59 D       is withheld, and cannot be told from
  Nobody, 1 1 1990, QQ 99 99 99 C     who does not exist
  anything under Sandbox              the family name chooses what happens:
                                      docs/sandbox.md

Who can sign in
{_accounts_text(accounts)}
Each security code works once. Ctrl-C stops everything; so does SIGTERM.
"""
    )
    try:
        while not console.is_terminal:
            # A file cannot be written over: each new set of codes is a line of its own.
            end_if_asked()
            console.print(_codes_text(accounts))
            time.sleep(CODE_SECONDS - SystemClock().now().timestamp() % CODE_SECONDS)
        with Live(_codes_text(accounts), console=console, refresh_per_second=2) as live:
            while True:
                time.sleep(0.5)
                end_if_asked()
                live.update(_codes_text(accounts))
    except KeyboardInterrupt:
        console.print("stopping")


def _accounts_text(accounts: Mapping[str, DemoAccount]) -> str:
    return "".join(
        f"  {key:9}email     {account.email}\n"
        f"  {'':9}password  {account.password}\n"
        f"  {'':9}secret    {account.code_secret}  (for an authenticator app)\n"
        for key, account in accounts.items()
    )


def _codes_text(accounts: Mapping[str, DemoAccount]) -> Text:
    now = SystemClock().now()
    left = CODE_SECONDS - int(now.timestamp()) % CODE_SECONDS
    codes = [f"{key:8} {pyotp.TOTP(account.code_secret).at(now)}" for key, account in accounts.items()]
    lines = ["   ".join(codes[first : first + CODES_A_LINE]) for first in range(0, len(codes), CODES_A_LINE)]
    return Text("\n".join([f"Codes, new in {left} s", *lines]), no_wrap=True)


def gunicorn(application: str, port: int, layout: Layout) -> list[str]:
    """Return the command line that serves one small application on loopback."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        application,
        f"--bind=127.0.0.1:{port}",
        "--worker-class=gthread",
        "--workers=1",
        "--threads=8",
        "--no-control-socket",
        "--log-level=warning",
    ]
    if layout.certificate:
        command += [f"--certfile={layout.certificate.chain}", f"--keyfile={layout.certificate.key}"]
    return command


@contextmanager
def _process(
    name: str, command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = start_child(command, environment=environment, output=output)
    try:
        yield process
    finally:
        if not end_child(process, within_seconds=STOP_SECONDS):
            Console(stderr=True).print(f"{name} did not stop by itself and was ended")


def _wait_until_ready(
    name: str, process: subprocess.Popen[bytes], address: str, log: Path, ca_file: Path | None
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        end_if_asked()
        if process.poll() is not None:
            raise DemoCannotStart(f"The {name} ended at once; {log} says why.")
        try:
            if requests.get(address, timeout=2, verify=str(ca_file) if ca_file else True).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise DemoCannotStart(f"The {name} was not ready within {READY_SECONDS:.0f} seconds; {log} says why.")


def forget_world(layout: Layout) -> None:
    """Remove what earlier demonstrations left; raises `DemoCannotStart` for a folder that holds something else."""
    state = layout.state_dir
    if state.exists() and any(state.iterdir()) and not layout.people_file.exists():
        message = f"{state} holds no demonstration: remove it yourself if it may go, or choose another --state."
        raise DemoCannotStart(message)
    for path in state.iterdir() if state.exists() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def alone_in(state: Path) -> Iterator[None]:
    """Keep this state folder to ourselves; raises `DemoCannotStart` when another demonstration has it."""
    state.mkdir(parents=True, exist_ok=True)
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"A demonstration is running in {state}: stop it, or give this one another folder with --state."
            raise DemoCannotStart(message) from None
        yield
    finally:
        os.close(folder)  # closing releases the lock
