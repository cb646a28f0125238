"""A PostgreSQL server for one test run: its own cluster in a temporary folder, reached by a socket only we can open."""

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

import psycopg
from psycopg import sql

from tests.kit.processes import tied_to_this_process

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
        programs = find_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-postgresql-"))
        data = self._folder / "data"
        _give_to_postgres(self._folder)
        made = subprocess.run(
            _as_postgres([
                str(programs / "initdb"),
                *("--pgdata", str(data), "--username", OWNER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            ]),
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise NoPostgres(f"initdb failed:\n{made.stdout}{made.stderr}")
        self._log = self._folder / "server.log"
        options = {
            "listen_addresses": "",  # No network: only the socket in a folder that is ours alone.
            "unix_socket_directories": str(self._folder),
            "max_connections": "200",
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                _as_postgres(
                    tied_to_this_process(
                        [
                            str(programs / "postgres"),
                            *("-D", str(data)),
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
        self.cluster = Cluster(socket_folder=str(self._folder))
        self._wait()

    def stop(self) -> None:
        """Fast shutdown, then the folder goes."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

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
