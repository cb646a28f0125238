"""A log of each test's own."""

from pathlib import Path

import pytest

from gateway.db import Database
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog


@pytest.fixture
def log(database: Database, tmp_path: Path, clock: FrozenClock) -> TestLog:
    """An empty log over a migrated database."""
    signer = PrivateKeySigner.generate("Ed25519")
    return TestLog(database=database, directory=tmp_path, signer=signer, clock=clock)
