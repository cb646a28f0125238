"""The provider served from a thread of this process, under a clock of the tests' own (tests/kit/oidc_world.py)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld, for_the_next_test, in_this_process


@pytest.fixture
def world(provider: OidcWorld) -> OidcWorld:
    return provider


@pytest.fixture
def clock(world: OidcWorld) -> FrozenClock:
    """The world's clock, shared with the tests before: it only goes on."""
    assert isinstance(world.clock, FrozenClock)
    return world.clock


@pytest.fixture(scope="module")
def _sandbox(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OidcWorld]:
    folder = tmp_path_factory.mktemp("sandbox")
    with (
        _databases() as url,
        in_this_process(database_url=url, state_dir=folder / "state", clock=FrozenClock(), sandbox=True) as made,
    ):
        yield made


@pytest.fixture
def sandbox(_sandbox: OidcWorld) -> OidcWorld:
    return for_the_next_test(_sandbox)
