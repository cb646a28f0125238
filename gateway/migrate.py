"""Bring a database to the shape this version of the code needs: Alembic is the only way tables come to be."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.db import Database

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def migrate(database_url: str) -> None:
    """Upgrade the database to the newest revision; does nothing when it is there already."""
    database = Database(database_url)
    if database.is_sqlite and database.url.database:
        # Made here rather than by SQLite, which would let everybody on the machine read it; its other files follow.
        Path(database.url.database).touch(mode=0o600)
    config = _config()
    try:
        with database.turn_to_write(), database.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    finally:
        database.close()


def is_current(database: Database) -> bool:
    """Tell whether the database has exactly the newest revision."""
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision() == newest_revision()


def newest_revision() -> str | None:
    """Return the revision that this code expects."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
