"""A PostgreSQL server for one test run: its own cluster in a temporary folder, reached by a socket only we can open."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tests.kit.processes import descendants_of, tied_to_this_process

OWNER = "gateway"
START_SECONDS = 30


class NoPostgres(RuntimeError):
    """PostgreSQL's programs are missing or will not start; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where a running server's socket is. Plain strings, so that parallel test workers can be told."""

    socket_folder: str

    def url(self, database: str) -> str:
        """SQLAlchemy's URL of a database in this cluster."""
        return f"postgresql+psycopg://{OWNER}@/{database}?host={self.socket_folder}"

    def create(self, database: str, *, template: str = "template1") -> None:
        """Make a database as a copy of `template`, to which nothing may be connected."""
        self._execute("CREATE DATABASE {} TEMPLATE {}", database, template)

    def drop(self, database: str) -> None:
        """Remove a database, ending whatever is still connected to it."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(host=self.socket_folder, user=OWNER, dbname="postgres", autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


class Server:
    """A server process of ours; `stop()` ends it by its process id and removes the folder."""

    def __init__(self, *, durable: bool) -> None:
        """Make a cluster and start it; `durable` keeps fsync on, as a deployment would."""
        self._prepare(durable=durable)
        _run_as_postgres([
            str(find_programs() / "initdb"),
            *("--pgdata", str(self._data), "--username", OWNER, "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        ], folder=self._folder)  # fmt: skip
        self.start()

    @classmethod
    def standby_of(cls, primary: "Server") -> "Server":
        """Copy a running server and follow it by streaming replication; read-only until `promote()`."""
        standby = cls.__new__(cls)
        standby._prepare(durable=primary._durable)
        _run_as_postgres([
            str(find_programs() / "pg_basebackup"),
            *("--host", primary.cluster.socket_folder, "--username", OWNER, "--pgdata", str(standby._data)),
            *("--write-recovery-conf", "--checkpoint", "fast", "--no-sync"),
        ], folder=standby._folder)  # fmt: skip
        standby.start()
        return standby

    def _prepare(self, *, durable: bool) -> None:
        self._durable = durable
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-postgresql-"))
        self._data = self._folder / "data"
        self._log = self._folder / "server.log"
        _give_to_postgres(self._folder)
        self.cluster = Cluster(socket_folder=str(self._folder))

    def start(self) -> None:
        """Start the server on its data, whatever state they were left in, and wait until it answers."""
        options = {
            "listen_addresses": "",  # No network: only the socket in a folder that is ours alone.
            "unix_socket_directories": str(self._folder),
            "max_connections": "200",
            "fsync": "on" if self._durable else "off",
            "synchronous_commit": "on" if self._durable else "off",
            "full_page_writes": "on" if self._durable else "off",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _as_postgres(
                    tied_to_this_process(
                        [
                            str(find_programs() / "postgres"),
                            *("-D", str(self._data)),
                            *(f"--{name}={value}" for name, value in options.items()),
                        ],
                        signal_name="INT",  # PostgreSQL's fast shutdown.
                    )
                ),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def stop(self) -> None:
        """Fast shutdown, then the folder goes."""
        self._signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL to all its processes at once, as when the machine is lost."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Let nothing of it run any more: connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary, which then waits for no replica until it is given one."""
        self.execute("SELECT pg_promote(true, 30)")
        self.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self.execute("SELECT pg_reload_conf()")

    def replicate_synchronously(self) -> None:
        """Acknowledge nothing from now on that a standby has not on its disk too."""
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Run one statement as the cluster's owner; its rows, if it has any."""
        folder = self.cluster.socket_folder
        with psycopg.connect(host=folder, user=OWNER, dbname="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _signal(self, number: int) -> None:
        # The first process before those below it: it would start them again, or end them in good order.
        for pid in (self._process.pid, *(child.pid for child in descendants_of(self._process.pid))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                psycopg.connect(host=self.cluster.socket_folder, user=OWNER, dbname="postgres").close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        log = self._log.read_text(errors="replace")
        self.stop()
        raise NoPostgres(f"PostgreSQL did not start:\n{log}")


def find_programs() -> Path:
    """The folder of the newest initdb and postgres; raises NoPostgres naming what to install."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    pg_config = shutil.which("pg_config")
    asked = [Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip())] if pg_config else []
    for folder in [*debian, *asked]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise NoPostgres("PostgreSQL's programs were not found. Run scripts/system-packages.sh, or install: postgresql")


def _run_as_postgres(command: Sequence[str], *, folder: Path) -> None:
    ran = subprocess.run(_as_postgres(command), cwd=folder, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise NoPostgres(f"{Path(command[0]).name} failed:\n{ran.stdout}{ran.stderr}")


def _as_postgres(args: Sequence[str]) -> list[str]:
    """`args`, run as the user `postgres` when we are root, because PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return list(args)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *args]


def _give_to_postgres(folder: Path) -> None:
    folder.chmod(0o700)
    if os.geteuid() != 0:
        return
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        raise NoPostgres("PostgreSQL does not run as root, and there is no user `postgres` to run it as") from None
    os.chown(folder, account.pw_uid, account.pw_gid)
