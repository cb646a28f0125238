"""The disk of the log, and that of the database, are full: nothing is released, and once there is room all is well."""

import json
import os
import pwd
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import psycopg
import pytest
import requests
from sqlalchemy.engine import make_url

from tests.faults.conftest import StartWorld
from tests.faults.pressure import (
    Load,
    ask,
    ask_many,
    assert_accounted_for,
    wait_until,
    wait_until_none_is_open,
    wait_until_ready,
    work_process,
)
from tests.kit.disks import SmallDisk, small_disk
from tests.kit.outsider import Outsider
from tests.kit.world import Asking, World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(180)]

QUESTIONS = 6
SLACK_SECONDS = 3.0  # for a busy machine, above the time that the gateway itself waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Cramped:
    """A world whose log and whose database are on small disks of their own."""

    world: World
    log_disk: SmallDisk
    database_disk: SmallDisk


@pytest.fixture(scope="module")
def cramped(
    start_world: StartWorld,
    _databases: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cramped]:
    state = tmp_path_factory.mktemp("cramped") / "state"
    with ExitStack() as stack:
        log_disk = stack.enter_context(small_disk(state / "log", kilobytes=512))
        database_disk, url = stack.enter_context(_database_on_a_small_disk(_databases))
        world = stack.enter_context(start_world(state=state, url=url, merge_delay=2.0))
        yield Cramped(world=world, log_disk=log_disk, database_disk=database_disk)


def test_nothing_is_released_while_the_log_cannot_be_published(cramped: Cramped) -> None:
    world, asking, load = cramped.world, cramped.world.asking(), Load()
    outsider = Outsider(location=f"{world.issuer}/log", vkey=world.gateway.log_key.encode())
    token, work = world.officer_token(), work_process(world)
    before = outsider.look()
    cramped.log_disk.fill()
    try:
        # What is asked now is durable in the database; it is late in the log, and that shuts the doors.
        load.note(ask(world, world.consumer(), asking, 0, token=token))
        wait_until(lambda: not requests.get(f"{world.issuer}/readyz", timeout=5).ok, within_seconds=15)
        _assert_nothing_is_released(world, asking, token, codes={"log_behind"})
        refused = world.token_request({"grant_type": "authorization_code", "code": "any"})
        assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
        assert outsider.look() >= before, "what was published can no longer be read"
    finally:
        cramped.log_disk.free()
    _assert_recovers(world, asking, load, token)
    assert work_process(world) == work, "it needed a restart"
    assert outsider.look() > before


def test_nothing_is_released_while_the_database_cannot_be_written(cramped: Cramped) -> None:
    world, asking, load = cramped.world, cramped.world.asking(), Load()
    outsider = Outsider(location=f"{world.issuer}/log", vkey=world.gateway.log_key.encode())
    token = world.officer_token()
    outsider.look()
    cramped.database_disk.fill()
    try:
        # Pages that were there before take some more; then there is no room.
        deadline = time.monotonic() + 60
        while load.unanswered < QUESTIONS:
            assert time.monotonic() < deadline, "the database never ran out of room"
            ask_many(world, asking, load, questions=QUESTIONS, threads=QUESTIONS)
        # The sequencer cannot write there either, so in time the log is behind too.
        _assert_nothing_is_released(
            world, asking, token, codes={"database_unavailable", "commit_unconfirmed", "log_behind"}
        )
        outsider.look()
    finally:
        cramped.database_disk.free()
    _assert_recovers(world, asking, load, token)
    outsider.look()


def _assert_nothing_is_released(world: World, asking: Asking, token: str, *, codes: Collection[str]) -> None:
    def asked(_number: int) -> None:
        request, started = world.signed(world.body(asking), token=token), time.monotonic()
        answer = world.send(request)
        assert time.monotonic() - started < world.settings.database_timeout + SLACK_SECONDS
        assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE, answer.body
        told = json.loads(answer.body)
        assert told["code"] in codes
        assert "record" not in told

    with ThreadPoolExecutor(QUESTIONS) as pool:
        list(pool.map(asked, range(QUESTIONS)))


def _assert_recovers(world: World, asking: Asking, load: Load, token: str) -> None:
    """Without a restart, and with everything that anybody was told."""
    wait_until_ready(world)
    again = ask(world, world.consumer(), asking, 0, token=token)
    assert again is not None
    assert again.outcome == "disclosed"
    wait_until_none_is_open(world, asking)
    assert_accounted_for(world, asking, [*load.told, again])


@contextmanager
def _database_on_a_small_disk(
    _databases: Callable[[], AbstractContextManager[str]],
) -> Iterator[tuple[SmallDisk, str]]:
    """A database whose tables are on a disk of their own: the file of SQLite, a tablespace of PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-small-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = make_url(stack.enter_context(_databases()))
        if url.get_backend_name() == "sqlite":
            assert url.database is not None
            disk = stack.enter_context(small_disk(folder, kilobytes=8192))
            copied = shutil.copyfile(url.database, folder / "gateway.sqlite3")
            yield disk, f"sqlite:///{copied}"
            return
        account = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
        disk = stack.enter_context(small_disk(folder, kilobytes=32_768, owner=(account.pw_uid, account.pw_gid)))
        name = f"small_{secrets.token_hex(4)}"
        host = str(url.query["host"])
        with psycopg.connect(host=host, user=url.username, dbname="postgres", autocommit=True) as admin:
            admin.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'".encode())
            admin.execute(f"ALTER DATABASE {url.database} SET TABLESPACE {name}".encode())
            try:
                yield disk, url.render_as_string(hide_password=False)
            finally:
                # Before its disk is gone the database moves back, to be dropped with all the others.
                disk.free()
                admin.execute(f"DROP DATABASE {url.database} WITH (FORCE)".encode())
                admin.execute(f"DROP TABLESPACE {name}".encode())
