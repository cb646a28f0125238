"""Bring a database to the shape this version of the code needs: Alembic is the only way tables come to be.

Migrations only add, so that the release before still works on the shape after. A revision's name begins with its
number, and a database beyond our own newest number is good enough for us.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gateway.db import Database

_ONE_AT_A_TIME = 0x6D696772617465  # "migrate": an advisory lock, for nodes that are started together
_LONGEST_SECONDS = 3600.0
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def migrate(database_url: str) -> None:
    """Upgrade the database to the newest revision; does nothing when it is there already, or beyond."""
    database = Database(database_url)
    if not database.is_sqlite:
        # A table that holds years takes more than a request's patience.
        database = Database(database_url, timeout=_LONGEST_SECONDS)
    if database.is_sqlite and database.url.database:
        # Made here rather than by SQLite, which would let everybody on the machine read it; its other files follow.
        Path(database.url.database).touch(mode=0o600)
    config = _config()
    try:
        with database.turn_to_write(), database.engine.connect() as connection:
            if not database.is_sqlite:
                connection.execute(select(func.pg_advisory_lock(_ONE_AT_A_TIME)))
                # Who waits for a table makes everybody after it wait too: rather fail soon, and be tried again.
                connection.execute(text("SET lock_timeout = '5s'"))
                connection.commit()
            if not _is_at_least(MigrationContext.configure(connection).get_current_revision(), newest_revision()):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
            connection.commit()
    finally:
        database.close()


def is_current(database: Database) -> bool:
    """Tell whether this code can work with the database: its revision is the newest we know, or a later release's."""
    with database.read() as session:
        return _is_at_least(current_revision(session), newest_revision())


def _is_at_least(found: str | None, ours: str | None) -> bool:
    if found is None or ours is None or found == ours:
        return found == ours
    number, _, _ = found.partition("_")
    return number.isdecimal() and int(number) > int(ours.partition("_")[0])


def current_revision(session: Session) -> str | None:
    """Return the revision that the database has; None for one without tables of ours."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def newest_revision() -> str | None:
    """Return the revision that this code expects."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
