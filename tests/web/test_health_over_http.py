"""Alive or not, ready or not, over real HTTP: what an orchestrator acts upon."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from gateway.app import Gateway, assemble
from gateway.audit.append import Event
from gateway.cli import initialise
from gateway.clock import SystemClock
from gateway.migrate import newest_revision
from gateway.serve import gunicorn_arguments
from gateway.settings import Settings, process_environment
from tests.kit.processes import Processes, Running, free_port, processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A gateway's web server without its `work`."""

    settings: Settings
    gateway: Gateway
    web: Running

    def get(self, path: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.settings.issuer + path, timeout=20)

    def execute(self, statement: str) -> None:
        """Change the database behind the gateway's back."""
        engine = create_engine(self.settings.database_url)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def serving(database_url: str, state_dir: Path, group: Processes) -> Iterator[Served]:
    port = free_port()
    settings = Settings(
        issuer=f"http://localhost:{port}",
        state_dir=state_dir,
        database_url=database_url,
        policies_dir=Path(__file__).resolve().parents[2] / "policies",
        log_origin="gateway.example/log",
        unsafe_allow_plain_http=True,
        listen=f"127.0.0.1:{port}",
        workers=1,
        merge_delay=1.0,
        database_timeout=1.0,
    )
    initialise(settings)
    gateway = assemble(settings)
    environment = {name: value for name, value in process_environment(settings).items() if name.startswith("GATEWAY_")}
    web = group.start(gunicorn_arguments(settings), env=environment, name="web", ready_url=f"{settings.issuer}/healthz")
    yield Served(settings=settings, gateway=gateway, web=web)
    gateway.database.close()


@pytest.fixture(scope="module")
def served(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A web server that each test leaves as ready as it found it."""
    folder = tmp_path_factory.mktemp("served")
    with _databases() as url, processes(folder / "logs") as group, serving(url, folder / "state", group) as made:
        yield made


@pytest.fixture
def served_last(database_url: str, tmp_path: Path, server_processes: Processes) -> Iterator[Served]:
    """A web server that nobody needs afterwards."""
    with serving(database_url, tmp_path / "state", server_processes) as made:
        yield made


def assert_not_ready(served: Served, *failing: str) -> None:
    answer = served.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "failing"
    checks = answer.json()["checks"]
    assert {name for name, state in checks.items() if state == "failing"} == set(failing)
    # Why is for the operator's logs: strangers read this answer too.
    assert set(checks.values()) <= {"ok", "failing"}
    assert served.get("/healthz").json() == {"status": "ok"}


def test_a_gateway_with_all_it_needs_is_alive_and_ready(served: Served) -> None:
    assert served.get("/healthz").json() == {"status": "ok"}
    answer = served.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "checks": {"database": "ok", "migrations": "ok", "log": "ok"}}
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_database_at_another_revision_makes_it_not_ready(served: Served) -> None:
    revision = newest_revision()
    served.execute("UPDATE alembic_version SET version_num = '0000_before'")
    try:
        assert_not_ready(served, "migrations")
    finally:
        served.execute(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - our own
    assert served.get("/readyz").status_code == 200


def test_told_that_it_will_be_stopped_it_is_not_ready_and_serves_on(served_last: Served) -> None:
    assert served_last.get("/readyz").status_code == 200
    served_last.web.process.send_signal(signal.SIGUSR1)  # as `gateway serve` does while it drains
    deadline = time.monotonic() + 10
    while (answer := served_last.get("/readyz")).status_code == 200:
        assert time.monotonic() < deadline
    assert (answer.status_code, answer.json()) == (503, {"status": "stopping", "checks": {}})
    assert served_last.get("/healthz").status_code == 200
    assert served_last.get("/").status_code == 200
    assert served_last.get("/authorize?client_id=anybody").status_code == 400


def test_a_log_that_falls_behind_makes_it_not_ready_until_it_caught_up(served: Served) -> None:
    gateway = served.gateway
    with gateway.database.write() as session:
        event = Event(name="audit.noise.counted", outcome="counted", members=(), details={})
        gateway.audit.append(session, event, at=SystemClock().now() - timedelta(seconds=5))
    assert_not_ready(served, "log")
    while gateway.sequencer().run_once():
        pass
    assert served.get("/readyz").status_code == 200


@pytest.mark.postgresql  # An embedded database is a file of this process: it does not go away by itself.
def test_a_database_that_went_away_makes_it_not_ready_until_it_is_back(served: Served) -> None:
    url = make_url(served.settings.database_url)
    name, away = str(url.database), f"{url.database}_away"
    maintenance = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        )
        connection.execute(text(f'ALTER DATABASE "{name}" RENAME TO "{away}"'))
        try:
            assert_not_ready(served, "database", "migrations", "log")
            # What needs the database is refused for now, and said to be.
            assert served.get("/authorize?client_id=anybody").status_code == 503
        finally:
            connection.execute(text(f'ALTER DATABASE "{away}" RENAME TO "{name}"'))
    maintenance.dispose()
    assert served.get("/readyz").status_code == 200


def test_a_damaged_database_makes_it_not_ready(database_url: str, request: pytest.FixtureRequest) -> None:
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        pytest.skip("only an embedded database is a file that can be damaged from here")
    served: Served = request.getfixturevalue("served_last")
    for suffix in ("", "-wal"):
        file = Path(f"{url.database}{suffix}")
        if file.exists():
            file.write_bytes(b"x" * 8192)
    answer = served.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == "failing"
    assert served.get("/healthz").status_code == 200
