"""The database, copied while it is written to, and put back where there is none.

SQLite by its own online backup, under one read transaction: writers go on, and the copy is one moment's. PostgreSQL by
its own `pg_dump` and `pg_restore`, of the server's major version, which do the same.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import inspect, text

from gateway.backup.errors import BackupDamaged, DatabaseProgramFailed, RestoreRefused
from gateway.backup.log_copy import Progress
from gateway.backup.manifest import make_durable
from gateway.db import Database

SQLITE_FILE, POSTGRESQL_FILE = "database.sqlite3", "database.dump"
_PAGES = 4096  # copied between two signs of progress
_GOODBYE_SECONDS = 2.0
"""How long a connection that is being closed may take to be gone."""
_DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")


def copy_database(database: Database, folder: Path, *, environment: Mapping[str, str], progress: Progress) -> str:
    """Copy the database into `folder`, durably; returns the file's name. `environment` is for PostgreSQL's programs.

    Raises `DatabaseProgramFailed`, `DatabaseUnavailable`.
    """
    if database.is_sqlite:
        _copy_sqlite(database, folder / SQLITE_FILE, progress)
        return SQLITE_FILE
    target = folder / POSTGRESQL_FILE
    _new_file(target)
    progress("dumping the database", 0, 1)
    arguments = ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"]
    _run(database, "pg_dump", arguments, environment)
    progress("dumping the database", 1, 1)
    make_durable(target)
    return POSTGRESQL_FILE


def check_can_be_restored_into(database: Database, *, kind: str) -> None:
    """Raise `RestoreRefused` unless the settings name a database of this kind that holds nothing yet."""
    if kind != kind_of(database):
        raise RestoreRefused(f"The backup is of {kind}, but GATEWAY_DATABASE_URL names {kind_of(database)}.")
    if database.is_sqlite:
        for path in _sqlite_files(database):
            if path.exists():
                raise RestoreRefused(f"{path} is there already. Nothing is overwritten: move it away first.")
        return
    with database.read() as session:
        tables = inspect(session.connection()).get_table_names()
    if tables:
        raise RestoreRefused(
            f"The database holds {len(tables)} tables already. Nothing is overwritten: let GATEWAY_DATABASE_URL name "
            "an empty one."
        )


def restore_database(database: Database, source: Path, *, environment: Mapping[str, str]) -> None:
    """Put a copy back; `check_can_be_restored_into` was asked before.

    Raises `BackupDamaged` or `DatabaseProgramFailed`; the database is then as empty as it was.
    """
    if database.is_sqlite:
        _sqlite_files(database)[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with database.turn_to_write():
            _restore_sqlite(database, source)
        return
    arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    _run(database, "pg_restore", [*arguments, str(source)], environment)


def check_nobody_else(database: Database) -> None:
    """Raise `RestoreRefused` while another process is connected to the database."""
    database.engine.dispose()
    if database.is_sqlite:
        if not _sqlite_files(database)[0].exists():
            raise RestoreRefused(f"There is no database: {database.url.database}")
        with database.turn_to_write():
            connected = _sqlite_is_shared(_sqlite_files(database)[0])
    else:
        others = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        deadline = time.monotonic() + _GOODBYE_SECONDS
        with database.read() as session:
            # Our own connections, closed a moment ago, may still be on their way out.
            while (connected := bool(session.scalar(text(others)))) and time.monotonic() < deadline:
                session.rollback()  # within one transaction the server tells the same list again
                time.sleep(0.05)
    if connected:
        raise RestoreRefused("Another process is using the database: stop every `gateway serve` and `gateway work`.")


def kind_of(database: Database) -> str:
    """Return `sqlite` or `postgresql`."""
    return "sqlite" if database.is_sqlite else "postgresql"


def _copy_sqlite(database: Database, target: Path, progress: Progress) -> None:
    _new_file(target)
    pooled = database.engine.raw_connection()
    try:
        source = pooled.driver_connection
        assert isinstance(source, sqlite3.Connection)  # noqa: S101 - for the type checker; nothing else is ever there
        # One read transaction around all the steps: a copy whose source changes between two steps starts anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        with closing(sqlite3.connect(target)) as copy:
            source.backup(
                copy,
                pages=_PAGES,
                progress=lambda _status, left, total: progress("copying the database", total - left, total),
            )
            # One file, that no other has to go with.
            copy.execute("PRAGMA journal_mode=DELETE")
        source.execute("ROLLBACK")
    finally:
        pooled.close()
    make_durable(target)


def _restore_sqlite(database: Database, source: Path) -> None:
    target = _sqlite_files(database)[0]
    unfinished = target.with_name(f".{target.name}.restoring")
    unfinished.unlink(missing_ok=True)
    _new_file(unfinished)
    try:
        shutil.copyfile(source, unfinished)
        _check_sqlite(unfinished)
        make_durable(unfinished)
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
    make_durable(target.parent)


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
            orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupDamaged("The database in the backup cannot be read", detail=str(error)) from error
    if found != ("ok",) or orphan is not None:
        raise BackupDamaged("The database in the backup does not hold together", detail=f"{found} {orphan}")


def _sqlite_files(database: Database) -> list[Path]:
    path = database.url.database or ""
    return [Path(path + suffix) for suffix in ("", "-wal", "-shm", "-journal")]


def _sqlite_is_shared(path: Path) -> bool:
    """Tell whether anybody else has the database open: only a sole user may leave its write-ahead log."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            return True
        connection.execute("PRAGMA journal_mode=WAL")
    return False


def _new_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _run(database: Database, program: str, arguments: list[str], environment: Mapping[str, str]) -> None:
    # As the driver is told it: of several hosts, their names and their ports apart.
    parameters = dict(database.engine.dialect.create_connect_args(database.engine.url)[1])
    del parameters["context"]  # how Python's driver reads rows
    # On a command line everybody on the machine could read it.
    password = parameters.pop("password", None)
    conninfo = make_conninfo(**{name: str(value) for name, value in parameters.items() if value})
    path = _program(program, _server_major(database))
    secret = {"PGPASSWORD": str(password)} if password else {}
    ended = subprocess.run(  # noqa: S603 - a program of PostgreSQL's, with arguments of our own
        [str(path), *arguments, f"--dbname={conninfo}"],
        env={**environment, **secret},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        reason = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise DatabaseProgramFailed(f"{program} ended with status {ended.returncode}: {reason[0]}")


def _server_major(database: Database) -> int:
    with database.read() as session:
        return int(session.execute(text("SHOW server_version_num")).scalar_one()) // 10_000


def _program(name: str, major: int) -> Path:
    """Return the program of the server's major version: an older one refuses, a newer one writes more than it reads."""
    found = shutil.which(name)
    for path in (_DEBIAN_PROGRAMS / str(major) / "bin" / name, *([Path(found)] if found else [])):
        if path.exists() and _version_of(path) == major:
            return path
    raise DatabaseProgramFailed(
        f"{name} {major} was not found: install PostgreSQL's client programs (Debian: postgresql-client-{major})"
    )


def _version_of(path: Path) -> int | None:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - as above
    found = re.search(r"\b(\d+)(?:\.\d+)?", said)
    return int(found.group(1)) if found else None
