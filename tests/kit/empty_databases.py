"""A database without tables, beside the one a test has: what a backup is restored into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy.engine import make_url

from tests.kit.postgres import Cluster


@contextmanager
def empty_database_beside(database_url: str, folder: Path) -> Iterator[str]:
    """The URL of a new database of the same kind as `database_url`: in `folder`, or in the same cluster."""
    url, name = make_url(database_url), f"empty_{uuid4().hex}"
    if url.get_backend_name() == "sqlite":
        yield f"sqlite:///{folder / name / 'gateway.sqlite3'}"
        return
    cluster = Cluster(socket_folder=str(url.query["host"]))
    cluster.create(name)
    yield cluster.url(name)
    cluster.drop(name)
