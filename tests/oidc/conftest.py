"""The provider served from a thread, under a clock of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld, in_this_process


@pytest.fixture
def world(database_url: str, tmp_path: Path, clock: FrozenClock) -> Iterator[OidcWorld]:
    with in_this_process(database_url=database_url, state_dir=tmp_path / "state", clock=clock) as made:
        yield made
