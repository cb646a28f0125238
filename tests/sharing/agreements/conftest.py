"""A database in which the members, their clients and the shipped service are recorded."""

from pathlib import Path

import pytest

from gateway.db import Database
from tests.kit.agreements import Members, members_in


@pytest.fixture
def members(database: Database, tmp_path: Path) -> Members:
    known = members_in(tmp_path, database)
    with database.write() as session:
        known.record(session)
    return known
