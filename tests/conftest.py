"""What every test can ask for: a fresh migrated database, processes, a clock, a certificate authority.

The database is SQLite unless `--database postgresql` (or GATEWAY_TEST_DATABASE) says otherwise. Each worker migrates
one template; every test gets a copy of it, or on PostgreSQL one made as it was, so tests share nothing.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from flask import Flask
from hypothesis import settings

from gateway.db import Database
from gateway.migrate import migrate
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.compiled_templates import CompiledTemplates
from tests.kit.postgres import Cluster, NoPostgres, Server
from tests.kit.processes import Processes, processes
from tests.kit.reused_databases import ReusedDatabases
from tests.kit.tls import TestAuthority

if TYPE_CHECKING:
    from tests.kit.oidc_world import OidcWorld
    from tests.kit.world import World

SERVER = pytest.StashKey[Server]()
CLUSTER = pytest.StashKey[Cluster]()


# A busy machine is slow now and then, which says nothing about the code: pytest-timeout bounds each test instead.
settings.register_profile("gateway", deadline=None)
settings.load_profile("gateway")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gateway")
    group.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default=os.environ.get("GATEWAY_TEST_DATABASE", "sqlite"),
        help="which database the tests run on (default: $GATEWAY_TEST_DATABASE, or sqlite)",
    )
    group.addoption(
        "--only-with-database",
        action="store_true",
        help="leave out the tests that touch no database, or any: their answer is the same on every one",
    )
    group.addoption(
        "--durable",
        action="store_true",
        help="keep PostgreSQL's fsync on, as a deployment does; SQLite is always as durable as the gateway sets it",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs PostgreSQL where that is not the database.

    With `--only-with-database`, keep what asks for a database, directly or through another fixture, and is not marked
    `any_database`.
    """
    kept = items[:]
    if config.getoption("--database") != "postgresql":
        kept = [item for item in kept if item.get_closest_marker("postgresql") is None]
    if config.getoption("--only-with-database"):
        kept = [
            item
            for item in kept
            if "_databases" in getattr(item, "fixturenames", ()) and item.get_closest_marker("any_database") is None
        ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_report_header(config: pytest.Config) -> str:
    return f"database: {config.getoption('--database')}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start one PostgreSQL server for the whole run; parallel workers are told where its socket is."""
    config = session.config
    if config.getoption("--database") != "postgresql" or config.option.collectonly:
        return
    if hasattr(config, "workerinput"):
        config.stash[CLUSTER] = Cluster(socket_folder=config.workerinput["postgresql_socket_folder"])
        return
    try:
        server = Server(durable=config.getoption("--durable"))
    except NoPostgres as missing:
        pytest.exit(str(missing), returncode=2)
    config.stash[SERVER] = server
    config.stash[CLUSTER] = server.cluster


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    if CLUSTER in node.config.stash:
        node.workerinput["postgresql_socket_folder"] = node.config.stash[CLUSTER].socket_folder


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()


@pytest.fixture(scope="session")
def _databases(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[], AbstractContextManager[str]]:
    """Each call makes one more copy of the migrated template, gives its URL, and removes it in the end."""
    if CLUSTER in pytestconfig.stash:
        cluster = pytestconfig.stash[CLUSTER]
        cluster.create(f"template_{worker_id}")
        migrate(cluster.url(f"template_{worker_id}"))
        return ReusedDatabases(cluster, template=f"template_{worker_id}", prefix=f"test_{worker_id}").one

    numbers = count()
    folder = tmp_path_factory.mktemp("databases")
    template = folder / "template.sqlite3"
    migrate(f"sqlite:///{template}")
    with closing(sqlite3.connect(template)) as connection:
        # Whatever still waits in the write-ahead log has to be in the one file that is copied.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def copied_file() -> Iterator[str]:
        own = folder / f"test_{next(numbers)}"
        own.mkdir()
        shutil.copyfile(template, own / "gateway.sqlite3")
        yield f"sqlite:///{own / 'gateway.sqlite3'}"
        shutil.rmtree(own)

    return copied_file


@pytest.fixture(scope="session", autouse=True)
def _templates_compiled_once() -> Iterator[None]:
    """Let the applications of this worker share compiled templates: those of one page take a fifth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Flask.jinja_options, "bytecode_cache", CompiledTemplates())
        yield


@pytest.fixture(scope="session", autouse=True)
def _rsa_keys_made_once() -> Iterator[None]:
    """Give the gateways of this worker RSA keys from a small stock: to make one takes half a second.

    A gateway has two at first, and two more after one rotation: four in turn are never the same in one folder.
    """
    stock: list[PrivateKeySigner] = []
    turns = count()

    def new_signer(algorithm: str) -> PrivateKeySigner:
        if algorithm not in {"RS256", "PS256"}:
            return PrivateKeySigner.generate(algorithm)
        turn = next(turns) % 4
        while len(stock) <= turn:
            stock.append(PrivateKeySigner.generate("RS256"))
        return PrivateKeySigner(stock[turn]._private_key, algorithm=algorithm)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.signing.rotation.new_signer", new_signer)
        yield


@pytest.fixture
def database_url(_databases: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a database of this test's own, migrated and empty."""
    with _databases() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A `gateway.db.Database` of this test's own, migrated and empty."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a command run in this process set up for its own log lines: how many of them are written, and where."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still until advanced."""
    return FrozenClock()


@pytest.fixture(scope="session")
def _shared_provider(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator["OidcWorld"]:
    from tests.kit.oidc_world import in_this_process  # noqa: PLC0415 - a test of pure formats need not pay for it.

    folder = tmp_path_factory.mktemp("provider")
    with (
        _databases() as url,
        in_this_process(database_url=url, state_dir=folder / "state", clock=FrozenClock()) as made,
    ):
        yield made


@pytest.fixture
def provider(
    request: pytest.FixtureRequest,
    _databases: Callable[[], AbstractContextManager[str]],  # asked for later, and to be seen by --only-with-database
) -> "OidcWorld":
    """The OpenID Provider over HTTP, shared by the tests of this worker; tests/kit/oidc_world.py has the rules.

    A test marked `own_provider` has one of its own.
    """
    from tests.kit.oidc_world import OidcWorld, for_the_next_test  # noqa: PLC0415 - as above

    own = request.node.get_closest_marker("own_provider") is not None
    made = request.getfixturevalue("_own_provider" if own else "_shared_provider")
    assert isinstance(made, OidcWorld)
    return made if own else for_the_next_test(made)


@pytest.fixture
def _own_provider(database_url: str, tmp_path: Path) -> Iterator["OidcWorld"]:
    from tests.kit.oidc_world import in_this_process  # noqa: PLC0415 - as above

    with in_this_process(database_url=database_url, state_dir=tmp_path / "state", clock=FrozenClock()) as made:
        yield made


@pytest.fixture
def server_processes(tmp_path: Path) -> Iterator[Processes]:
    """Start real processes; their logs are in `tmp_path / "logs"`, and all are stopped at the end of the test."""
    with processes(tmp_path / "logs") as group:
        yield group


@pytest.fixture(scope="session")
def test_authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    """A certificate authority for https on loopback."""
    return TestAuthority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def world(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator["World"]:
    """A whole running gateway, shared by the tests of this worker: what a test changes, it makes for itself first."""
    from tests.kit.processes import free_port  # noqa: PLC0415 - a test of pure formats need not pay for all of it.
    from tests.kit.world import running_world  # noqa: PLC0415 - as above

    folder = tmp_path_factory.mktemp("world")
    with (
        _databases() as url,
        processes(folder / "logs") as group,
        # It stays up for minutes, during most of which nothing is to be published: looking often would take time.
        running_world(
            folder / "state",
            url,
            group,
            log_level="DEBUG",
            sequencer_interval=0.3,
            # Tests wait for a provider that was left alone to be asked again.
            provider_pause=1.0,
            # Where a test may serve a provider of its own: `world.own_provider`.
            more_providers=(f"localhost:{free_port()}",),
        ) as running,
    ):
        yield running
