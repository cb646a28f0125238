"""A database of PostgreSQL that one test gives back is, for the next, as if nobody had ever used it."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

pytestmark = pytest.mark.postgresql

Databases = Callable[[], AbstractContextManager[str]]


@pytest.fixture
def databases(_databases: Databases) -> Databases:
    return _databases


def everything(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        found = {
            table: sorted(map(str, connection.execute(text(f'SELECT * FROM "{table}"')).all()))  # noqa: S608 - its own name
            for table in tables
        }
    engine.dispose()
    return found


def spoilt(databases: Databases, *statements: str) -> tuple[str, dict[str, list[str]]]:
    """Use a database in this way; its URL, and all that was in it before."""
    with databases() as url:
        before = everything(url)
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()
    return url, before


def test_rows_are_gone_and_those_of_the_template_are_back(databases: Databases) -> None:
    used, before = spoilt(
        databases,
        "INSERT INTO audit_noise (minute, code, source_tag, count) VALUES (now(), 'x', 'x', 1)",
        "UPDATE audit_log_head SET size = 7",
        "UPDATE alembic_version SET version_num = '0000_before'",
    )
    assert before["alembic_version"]
    with databases() as url:
        assert url == used, "it was not used again, so this shows nothing"
        assert everything(url) == before


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE used_once CASCADE",
        "CREATE TABLE extra (n int)",
        "ALTER TABLE members ADD COLUMN extra int",
        "ALTER TABLE members ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE members ALTER COLUMN name SET DEFAULT 'nobody'",
        "ALTER TABLE audit_events ADD CONSTRAINT refuse CHECK (false) NOT VALID",
        "CREATE INDEX extra ON members (name)",
        "CREATE FUNCTION extra() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE SEQUENCE extra",
        "CREATE SCHEMA extra",
    ],
)
def test_one_of_another_shape_is_not_used_again(databases: Databases, change: str) -> None:
    used, before = spoilt(databases, change)
    with databases() as url:
        assert url != used
        assert everything(url) == before


def test_nobody_stays_connected(databases: Databases) -> None:
    with databases() as url:
        engine = create_engine(url)
        forgotten = engine.connect()
        forgotten.execute(text("LOCK TABLE members IN ACCESS EXCLUSIVE MODE"))
    with databases() as again:
        assert again == url
        assert everything(again)["members"] == []
    forgotten.invalidate()
    forgotten.close()
    engine.dispose()


def test_one_that_was_renamed_is_replaced(databases: Databases) -> None:
    with databases() as url, databases() as other:
        engine = create_engine(other, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            name = make_url(url).database
            connection.execute(text(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"'))
        engine.dispose()
    with databases() as first, databases() as second:
        assert url not in {first, second}
