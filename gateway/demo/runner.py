"""Start the demonstration's processes, walk the journey, stay up until told to stop."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyotp
import requests
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gateway.clock import SystemClock
from gateway.demo.layout import PORTAL_CLIENT, PROVIDER_CLIENT, Layout
from gateway.demo.world import DemoAccount
from gateway.errors import GatewayError, Kind
from gateway.settings import Settings, process_environment

READY_SECONDS = 60.0
STOP_SECONDS = 35.0
CODE_SECONDS = 30


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
    """Run gateway (with its `work`), department and portal as processes of their own; stop them at the end.

    Yields the processes by name. `settings` replace the layout's own for the gateway.
    """
    logs = layout.world_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = process_environment(settings or layout.settings())
    ca_file = str(layout.ca_file or "")
    department = (
        f"gateway.demo.department:make_app({str(layout.world_dir / 'department.sqlite3')!r}, "
        f"{str(layout.key_file(PROVIDER_CLIENT))!r}, {layout.gateway!r}, {layout.provider!r}, {ca_file!r})"
    )
    portal = (
        f"gateway.demo.portal:make_app({str(layout.key_file(PORTAL_CLIENT))!r}, {layout.gateway!r}, "
        f"{layout.portal!r}, {ca_file!r})"
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


def stay(layout: Layout, accounts: Mapping[str, DemoAccount]) -> None:
    """Say what to try, and show fresh security codes until Ctrl-C."""
    console = Console()
    console.print(
        f"""
The demonstration is running. All people are invented.

  Council portal    {layout.portal}   sign in as the officer, then ask about a person
  Gateway           {layout.gateway}   sign in as the auditor, then look at the exchanges
  Log               {layout.gateway}/log/checkpoint

Try: family name Testcase, date of birth 1 1 1988, National Insurance number QQ 12 34 56 C.
Ask for the award amount to see a refusal; ask about a person who does not exist, or about
Demo, 1 1 1985, QQ 12 34 59 D (withheld), and find no difference between the two.

Ctrl-C stops everything.
""",
        highlight=False,
    )
    try:
        if not console.is_terminal:
            console.print(_accounts_table(accounts))
            while True:
                time.sleep(3600)
        with Live(_accounts_table(accounts), console=console, refresh_per_second=2) as live:
            while True:
                time.sleep(0.5)
                live.update(_accounts_table(accounts))
    except KeyboardInterrupt:
        console.print("stopping")


def _accounts_table(accounts: Mapping[str, DemoAccount]) -> Table:
    now = SystemClock().now()
    left = CODE_SECONDS - int(now.timestamp()) % CODE_SECONDS
    table = Table("who", "email", "password", f"code now ({left:2d} s left)", "secret for an authenticator app")
    for key, account in accounts.items():
        code = pyotp.TOTP(account.code_secret).at(now)
        table.add_row(key, account.email, account.password, code, account.code_secret)
    return table


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
        # A process group of its own: Ctrl-C reaches us alone, and we stop them in order.
        process = subprocess.Popen(command, env=dict(environment), stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            Console(stderr=True).print(f"{name} did not stop by itself and is ended")
            process.kill()
            process.wait()


def _wait_until_ready(
    name: str, process: subprocess.Popen[bytes], address: str, log: Path, ca_file: Path | None
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
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
    """Remove what earlier demonstrations left."""
    shutil.rmtree(layout.state_dir, ignore_errors=True)
