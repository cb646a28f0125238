"""Each test's database is migrated, its own, and of the kind that was asked for."""

import pytest
from sqlalchemy import inspect, text

from gateway.db import Database
from gateway.migrate import is_current, newest_revision

LEFT_BEHIND = "left_behind_by_another_test"


def test_a_database_is_migrated_and_of_the_kind_asked_for(database: Database, pytestconfig: pytest.Config) -> None:
    assert newest_revision() is not None
    assert is_current(database)
    assert database.engine.dialect.name == pytestconfig.getoption("--database")


@pytest.mark.parametrize("_turn", [1, 2])
def test_nothing_is_left_for_the_next_test(database: Database, _turn: int) -> None:
    assert LEFT_BEHIND not in inspect(database.engine).get_table_names()
    with database.write() as session:
        session.execute(text(f"CREATE TABLE {LEFT_BEHIND} (id INTEGER)"))
    assert LEFT_BEHIND in inspect(database.engine).get_table_names()
