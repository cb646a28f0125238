"""The provider served from a thread of this process, under a clock of the tests' own (tests/kit/oidc_world.py)."""

import pytest

from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld


@pytest.fixture
def world(provider: OidcWorld) -> OidcWorld:
    return provider


@pytest.fixture
def clock(world: OidcWorld) -> FrozenClock:
    """The world's clock, shared with the tests before: it only goes on."""
    assert isinstance(world.clock, FrozenClock)
    return world.clock
