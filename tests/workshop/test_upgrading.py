"""A release and the one before it, on one database: each serves on the other's shape, or says that it does not."""

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from gateway.db import Database
from gateway.migrate import MIGRATIONS, is_current, migrate, newest_revision
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog

# What takes something away, or demands what older code does not write. `op.execute` may fill what was added.
TAKES_AWAY = {"drop_table", "drop_column", "drop_constraint", "rename_table", "alter_column", "create_check_constraint"}
# Released before two releases ever ran side by side: there was no older code to break.
BEFORE_THE_RULE = {"0001", "0002", "0003", "0004", "0005", "0006", "0007"}


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return made


def set_revision(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def revision_of(database: Database) -> str:
    with database.read() as session:
        return str(session.scalar(text("SELECT version_num FROM alembic_version")))


def test_new_code_does_not_serve_on_the_old_shape_until_it_is_migrated(database: Database) -> None:
    with database.engine.connect() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.downgrade(made, "-1")
        connection.commit()
    assert not is_current(database)
    migrate(database.url.render_as_string(hide_password=False))
    assert is_current(database)
    assert revision_of(database) == newest_revision()


@pytest.mark.parametrize("later", ["0999_of_a_later_release", "9999_of_a_much_later_release"])
def test_old_code_serves_on_the_shape_of_a_later_release_and_leaves_it_alone(database: Database, later: str) -> None:
    set_revision(database, later)
    assert is_current(database)
    migrate(database.url.render_as_string(hide_password=False))
    assert revision_of(database) == later


def test_old_code_records_and_publishes_on_tables_that_have_grown(
    database: Database, tmp_path: Path, clock: FrozenClock
) -> None:
    with database.write() as session:
        for table in ("audit_events", "audit_log_head", "exchanges"):
            session.execute(text(f"ALTER TABLE {table} ADD COLUMN of_a_later_release VARCHAR(200)"))
        session.execute(text("CREATE TABLE of_a_later_release (id INTEGER PRIMARY KEY)"))
    set_revision(database, "0999_of_a_later_release")
    signer = PrivateKeySigner.generate("Ed25519")
    log = TestLog(database=database, directory=tmp_path, signer=signer, clock=clock)
    entries = log.record(3)
    assert log.publish() == 3
    log.assert_verifies(entries, exactly=True)


@pytest.mark.parametrize("strange", ["0000_before", "abcdef012345", "", "0007_of_somebody_else"])
def test_a_shape_that_is_neither_ours_nor_a_later_one_is_not_served_on(database: Database, strange: str) -> None:
    set_revision(database, strange)
    assert not is_current(database)


def test_nodes_that_are_started_together_migrate_one_after_the_other(database: Database) -> None:
    url = database.url.render_as_string(hide_password=False)
    with database.engine.connect() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.downgrade(made, "-1")
        connection.commit()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(migrate, url) for _ in range(4)]:
            done.result()
    assert revision_of(database) == newest_revision()


def test_migrations_are_numbered_one_after_the_other_and_only_add() -> None:
    script = ScriptDirectory.from_config(config())
    revisions = list(reversed(list(script.walk_revisions())))
    assert [revision.revision[:5] for revision in revisions] == [f"{n:04d}_" for n in range(1, len(revisions) + 1)]
    for revision in revisions:
        if revision.revision[:4] in BEFORE_THE_RULE:
            continue
        with open(revision.path, encoding="utf-8") as file:  # noqa: PTH123 - Alembic gives the path as text
            tree = ast.parse(file.read())
        upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
        called = {node.attr for node in ast.walk(upgrade) if isinstance(node, ast.Attribute)}
        assert not called & TAKES_AWAY, f"{revision.revision} would break the release before it"
