"""A gateway with a directory, an agreement and accounts, and databases to restore it into."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.backup.house import House
from tests.kit.postgres import Cluster


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """A gateway of this test's own."""
    opened = House.furnished(tmp_path / "state", database_url)
    with closing(opened):
        yield opened


@pytest.fixture
def empty_database(database_url: str, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Each call gives the URL of another database that has no tables, of the same kind as the test's own."""
    url = make_url(database_url)
    numbers = count()
    with ExitStack() as made:

        def new() -> str:
            number = next(numbers)
            if url.get_backend_name() == "sqlite":
                return f"sqlite:///{tmp_path / f'elsewhere-{number}' / 'gateway.sqlite3'}"
            cluster, name = Cluster(socket_folder=str(url.query["host"])), f"{url.database}_empty_{number}"
            cluster.create(name)
            made.callback(cluster.drop, name)
            return cluster.url(name)

        yield new


@pytest.fixture
def empty_database_url(empty_database: Callable[[], str]) -> str:
    """The URL of one such database."""
    return empty_database()
