"""What only a primary has is not the log's yet: its replica may be the primary of tomorrow, and never heard of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.db import CommitUnconfirmed, Database, DatabaseUnavailable
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog
from tests.kit.nodes import Replicated, replicated_postgresql

pytestmark = [pytest.mark.prove, pytest.mark.postgresql, pytest.mark.timeout(120)]


@pytest.fixture
def databases() -> Iterator[Replicated]:
    with replicated_postgresql() as pair:
        yield pair


@pytest.fixture
def log(databases: Replicated, tmp_path: Path, clock: FrozenClock) -> Iterator[TestLog]:
    database = Database(databases.url, timeout=0.5)
    yield TestLog(database=database, directory=tmp_path, signer=PrivateKeySigner.generate("Ed25519"), clock=clock)
    database.close()


def test_entries_and_places_that_no_replica_has_are_not_published(databases: Replicated, log: TestLog) -> None:
    kept = log.record(3)
    assert log.publish() == 3
    published = (log.files / "checkpoint").read_bytes()

    # Nobody is told that this was recorded, though a restarted primary finds it in its own write-ahead log.
    databases.replica.kill()
    with pytest.raises(CommitUnconfirmed):
        log.record(2)
    _restart(databases)
    # The sequencer sees them, and gives them places, which are not confirmed either …
    with pytest.raises(CommitUnconfirmed):
        log.sequencer().run_once()
    _restart(databases)
    # … so that now it finds places that it did not give, and nothing left to number.
    with pytest.raises(DatabaseUnavailable):
        log.sequencer().run_once()
    assert (log.files / "checkpoint").read_bytes() == published, "what may yet be lost was shown to the world"

    databases.primary.kill()
    databases.replica.start()
    databases.replica.promote()
    others = log.record(2)
    assert log.publish() == 2
    log.assert_verifies([*kept, *others], exactly=True)


def _restart(databases: Replicated) -> None:
    databases.primary.kill()
    databases.primary.start()
