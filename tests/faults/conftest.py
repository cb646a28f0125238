"""Worlds under pressure: four workers, short leases and short patience, so that recovery happens within a test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from gateway.db import Database
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog
from tests.kit.processes import processes
from tests.kit.world import World, running_world

SETTINGS = {
    "workers": 4,
    "provider_timeout": 2.0,
    "exchange_lease": 4.0,
    "database_timeout": 2.0,
    # Here one provider is all that anybody asks: it may have every thread.
    "provider_calls": 8,
}

StartWorld = Callable[..., AbstractContextManager[World]]


@pytest.fixture(scope="package")
def start_world(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> StartWorld:
    """Start a world of a test's own; keywords are settings that it changes.

    `state` is its folder and `url` its database, where these must be somewhere in particular.
    """

    @contextmanager
    def start(*, state: Path | None = None, url: str | None = None, **changes: Any) -> Iterator[World]:
        folder = tmp_path_factory.mktemp("pressed")
        with (
            _databases() if url is None else nullcontext(url) as used,
            processes(folder / "logs") as group,
            running_world(state or folder / "state", used, group, **{**SETTINGS, **changes}) as world,
        ):
            yield world

    return start


@pytest.fixture(scope="package")
def world(start_world: StartWorld) -> Iterator[World]:
    """A world that the tests of this folder share, each with an agreement of its own."""
    with start_world() as running:
        yield running


@pytest.fixture
def log(database: Database, tmp_path: Path, clock: FrozenClock) -> TestLog:
    """An empty log over a migrated database, without a gateway around it."""
    signer = PrivateKeySigner.generate("Ed25519")
    return TestLog(database=database, directory=tmp_path, signer=signer, clock=clock)
