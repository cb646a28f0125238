"""The two scripts of docker/postgresql, carried out by hand: the replica follows, and commits wait for it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.pressure import wait_until
from tests.kit.postgres import OWNER, Server, find_programs
from tests.kit.processes import REPOSITORY, Processes

pytestmark = [pytest.mark.prove, pytest.mark.timeout(120)]

SCRIPTS = REPOSITORY / "docker" / "postgresql"


@pytest.fixture
def primary() -> Iterator[Server]:
    server = Server(durable=False)
    yield server
    server.stop()


def test_the_replica_follows_and_commits_wait_for_it(
    primary: Server, server_processes: Processes, tmp_path: Path
) -> None:
    socket = Path(primary.cluster.socket_folder)
    folder = socket / "scripts"
    shutil.copytree(SCRIPTS, folder)
    password = folder / "password"
    password.write_text("replica's, of this test alone")
    replica = folder / "replica"
    replica.mkdir(mode=0o700)
    as_postgres: list[str] = []
    if os.geteuid() == 0:
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    environment = {
        "PATH": f"{find_programs()}:/usr/bin:/bin",
        "PGHOST": str(socket),
        "POSTGRES_USER": OWNER,
        "REPLICATION_PASSWORD_FILE": str(password),
    }

    made = server_processes.start(
        [*as_postgres, str(folder / "primary.sh")],
        env={**environment, "PGDATA": str(socket / "data")},
        name="primary",
        cwd=folder,
    )
    assert made.process.wait(30) == 0, made.output()
    primary.execute("SELECT pg_reload_conf()")

    follower = server_processes.start(
        [
            *(*as_postgres, str(folder / "replica.sh")),
            *("--listen_addresses=", f"--unix_socket_directories={folder}", "--max_connections=200"),
        ],
        env={**environment, "PGDATA": str(replica), "PRIMARY_HOST": str(socket)},
        name="replica",
        cwd=folder,
    )

    def following() -> bool:
        assert follower.process.poll() is None, follower.output()
        found = primary.execute(
            "SELECT application_name, sync_state FROM pg_stat_replication WHERE state = 'streaming'"
        )
        return found == [("replica", "sync")]

    wait_until(following, within_seconds=30)
    primary.execute("CREATE TABLE told (id int)")  # returns only once the replica has it
    follower.stop()
