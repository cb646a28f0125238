"""A gateway put together in this process, on a database of the test's own; it serves nobody and calls nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import Gateway, assemble
from gateway.signing.signing_keys import make_missing_keys
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import LEAST_COST, settings_for


@pytest.fixture
def gateway(database_url: str, tmp_path: Path, clock: FrozenClock) -> Iterator[Gateway]:
    settings = settings_for(database_url=database_url, state_dir=tmp_path, port=1)
    make_missing_keys(settings.keys_dir)
    made = assemble(settings, clock=clock, passwords=LEAST_COST)
    yield made
    made.database.close()
