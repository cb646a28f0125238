"""The provider under gunicorn, as a deployment runs it: two workers, started once for the tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.kit.oidc_world import OidcWorld, RelyingParty, under_gunicorn
from tests.kit.processes import processes


@pytest.fixture(scope="package")
def world(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OidcWorld]:
    folder = tmp_path_factory.mktemp("provider")
    with (
        _databases() as url,
        processes(folder / "logs") as group,
        under_gunicorn(group, database_url=url, state_dir=folder / "state") as made,
    ):
        yield made


@pytest.fixture
def rp(world: OidcWorld) -> RelyingParty:
    """A client of this test's own."""
    return world.relying_party()
