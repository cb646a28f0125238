"""A gateway with a directory, an agreement and accounts, and databases to restore it into."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.backup.house import House
from tests.kit.empty_databases import empty_database_beside


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """A gateway of this test's own."""
    opened = House.furnished(tmp_path / "state", database_url)
    with closing(opened):
        yield opened


@pytest.fixture
def empty_database(database_url: str, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Each call gives the URL of another database that has no tables, of the same kind as the test's own."""
    with ExitStack() as made:
        yield lambda: made.enter_context(empty_database_beside(database_url, tmp_path))


@pytest.fixture
def empty_database_url(empty_database: Callable[[], str]) -> str:
    """The URL of one such database."""
    return empty_database()
