"""The database: one declarative base, the column habits, and the only two ways to a session.

`Database.read()` never writes. `Database.write()` is one short transaction, committed when the block ends and rolled
back when it raises. On SQLite every writer first takes one file lock (`gateway.writer_lock`), because plain
`BEGIN IMMEDIATE` starves writers for seconds, and because SQLite before 3.51.3 can corrupt a WAL that is reset while it
is being written; automatic checkpoints happen inside a commit, so they are under the same lock. PostgreSQL needs no
lock of ours.

Nobody waits for PostgreSQL without end: it limits its own statements and locks, and the client gives up a second later
because a frozen server limits nothing. A client that gives up closes its connection, and never asks it to cancel:
a commit that waits for its replica, once cancelled, counts as committed though no replica has it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

import psycopg
import uuid_utils.compat
from psycopg import sql
from psycopg.abc import PQGen
from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Insert,
    MetaData,
    String,
    Table,
    Uuid,
    create_engine,
    event,
    insert,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from gateway.errors import Unavailable
from gateway.settings import parse_database_url
from gateway.writer_lock import NoTurn, WriterLock

SERVER_FIRST_SECONDS = 1.0
"""How much longer than the server's own limit the client waits: the server's answer says more than silence."""
_LONGEST_CONNECT_SECONDS = 10
IDLE_TRANSACTION_SECONDS = 60
"""After which the server takes back what a node holds that has stopped in the middle of a transaction."""

_Result = TypeVar("_Result")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class DatabaseUnavailable(Unavailable):
    """The database did not answer, or no turn to write came in time. Nothing was changed."""

    code = "database_unavailable"
    title = "The gateway cannot answer now; nothing was changed"


class CommitUnconfirmed(DatabaseUnavailable):
    """The database went away while it was committing: all of it was done, or nothing was."""

    code = "commit_unconfirmed"
    title = "The gateway cannot tell whether this was done; ask again, exactly as before"


class Instant(TypeDecorator[datetime]):
    """An aware UTC `datetime`; refuses naive values, and restores the zone that SQLite forgets."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; raises `ValueError` for a naive instant."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = "an instant in the database needs a time zone"
            raise ValueError(message)
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the instant as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


pk = Annotated[UUID, mapped_column(Uuid, primary_key=True)]
instant = Annotated[datetime, mapped_column(Instant)]
expiry = Annotated[datetime, mapped_column(Instant, index=True)]
"""The moment after which a row may be purged; always indexed."""
identifier = Annotated[str, mapped_column(String(200))]
"""A short identifier of ours or of a member: a member's code, a client id, a service id, a key id."""
document = Annotated[dict[str, Any], mapped_column(JSON().with_variant(JSONB, "postgresql"))]


class Base(DeclarativeBase):
    """Every room's tables hang here; Alembic alone creates them."""

    metadata = MetaData(naming_convention=NAMING)


def new_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562 §5.7): unique, and ordered by time of creation."""
    return uuid_utils.compat.uuid7()


class Database:
    """The one handle on the database. Assembles only: nothing connects until the first session."""

    def __init__(self, url: str, *, timeout: float = 5.0, pool_size: int = 8) -> None:
        self.url = parse_database_url(url)
        self.timeout = timeout
        self.engine = _engine(url, timeout=timeout, pool_size=pool_size)
        self._writer_lock: WriterLock | None = None
        if self.is_sqlite and self.url.database:
            self._writer_lock = WriterLock(Path(self.url.database + ".lock"))

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that is rolled back at the end: it must not write."""
        with _faults_named(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open one write transaction: committed at the end of the block, rolled back if it raises.

        Raises `DatabaseUnavailable` when the database does not answer or no turn comes within `timeout` seconds, and
        `CommitUnconfirmed` when it falls silent in the commit.
        """
        with (
            _faults_named(),
            self.turn_to_write(),
            Session(self.engine, expire_on_commit=False) as session,
        ):
            session.connection(execution_options=_WRITES)
            yield session
            session.flush()
            with _faults_named(CommitUnconfirmed):
                session.commit()

    @contextmanager
    def write_rows(self) -> Iterator[Connection]:
        """As `write`, on a plain connection: for many rows of one kind, where a session would only take time."""
        with (
            _faults_named(),
            self.turn_to_write(),
            self.engine.connect().execution_options(**_WRITES) as connection,
        ):
            yield connection
            with _faults_named(CommitUnconfirmed):
                connection.commit()

    def close(self) -> None:
        """Close every connection; on SQLite the last one checkpoints, hence under the writers' lock."""
        with self.turn_to_write():
            self.engine.dispose()

    @contextmanager
    def turn_to_write(self) -> Iterator[None]:
        """Hold this machine's turn to write to the embedded database; nothing to hold on PostgreSQL."""
        if self._writer_lock is None:
            yield
            return
        with ExitStack() as held:
            try:
                held.enter_context(self._writer_lock.held(timeout=self.timeout))
            except NoTurn as error:
                raise DatabaseUnavailable(detail=str(error)) from error
            yield


@cache
def _insert_into(table: Table) -> Insert:
    return insert(table)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that name the same columns; on PostgreSQL several go in one COPY, which costs a fifth less.

    A COPY gives values to the driver as they are, past what a column's type would check or convert: none but bytes,
    plain text, numbers, UUIDs and aware instants belong in them.
    """
    if len(rows) == 1 or connection.dialect.name != "postgresql":
        connection.execute(_insert_into(table), rows if len(rows) > 1 else rows[0])
        return
    if not connection.in_transaction():
        connection.begin()  # it cannot see what is done on the driver's own connection
    driver = cast("PatientConnection", connection.connection.driver_connection)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    copy_in = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
    with driver.cursor() as cursor, cursor.copy(copy_in) as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))


@contextmanager
def _faults_named(fault: type[DatabaseUnavailable] = DatabaseUnavailable) -> Iterator[None]:
    """Turn a lost or locked database into our own error; other faults pass as they are."""
    try:
        yield
    except NoConnectionFree as error:
        raise fault(detail="no connection free in this process") from error
    except OperationalError as error:
        raise fault(detail=type(error.orig).__name__) from error
    except psycopg.OperationalError as error:
        raise fault(detail=type(error).__name__) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise fault(detail=type(error.orig).__name__) from error
        raise


class PatientConnection(psycopg.Connection[Any]):
    """A connection that counts as lost when the server has said nothing for `patience` seconds."""

    patience: float = 60.0

    def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        """Wait for one answer of the server, as psycopg does for every statement; here with an end."""
        limit = self.patience if timeout is None else min(timeout, self.patience)
        deadline = time.monotonic() + limit
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if time.monotonic() >= deadline:
                self.pgconn.finish()  # what it may still say belongs to a question that nobody waits for any more
            raise


def _engine(url: str, *, timeout: float, pool_size: int) -> Engine:
    parsed = parse_database_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, pool_size=pool_size, max_overflow=pool_size, connect_args={"timeout": timeout})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=timeout,
        connect_args={
            "connect_timeout": max(1, min(int(timeout), _LONGEST_CONNECT_SECONDS)),
            "options": _session_options(timeout),
        },
    )

    def connect(_dialect: Dialect, _record: ConnectionPoolEntry, given: Any, named: Any) -> PatientConnection:
        connection = PatientConnection.connect(*given, **named)
        connection.patience = timeout + SERVER_FIRST_SECONDS
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def _session_options(timeout: float) -> str:
    milliseconds = int(timeout * 1000)
    options = {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        # A node that vanished must not keep its locks for the two hours that a system waits by default.
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        "idle_in_transaction_session_timeout": IDLE_TRANSACTION_SECONDS * 1000,
    }
    return " ".join(f"-c {name}={value}" for name, value in options.items())


_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "trusted_schema=OFF",
    # Some 16 MB of log before it is copied into the file: a writer that does the copying holds up all others.
    "wal_autocheckpoint=4000",
)


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # Autocommit at the driver: `_begin_sqlite` alone opens transactions.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


# Said of a connection and not of an engine of its own, whose events would be looked up twice for every statement.
_WRITES = {"writes": True}


def _begin_sqlite(connection: Connection) -> None:
    # A writer that started as a reader could fail half way with "database is locked": it takes its lock at once.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
