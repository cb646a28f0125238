"""A backup taken under load, of a gateway that is then lost: what it answered until the end is still accounted for."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app import assemble
from gateway.backup.manifest import MANIFEST
from gateway.demo.layout import SERVICE
from gateway.demo.runner import running
from gateway.settings import Settings, process_environment
from gateway.wire.encoding import b64_encode
from gateway.wire.leaves import Leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.receipts import Receipt
from tests.faults.conftest import StartWorld
from tests.faults.pressure import ask, asking_all_the_while, wait_until
from tests.kit.empty_databases import empty_database_beside
from tests.kit.outsider import Outsider
from tests.kit.processes import Processes
from tests.kit.world import Asking, World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(240)]


def test_a_backup_under_load_brings_back_a_gateway_that_goes_on(
    start_world: StartWorld, server_processes: Processes, tmp_path: Path
) -> None:
    """Backed up while asked, lost with all it answered since, restored elsewhere: nothing acknowledged is missing."""
    with start_world() as world:
        asking = world.asking()
        with asking_all_the_while(world, asking, threads=4) as load:
            load.wait_until(lambda load: load.asked >= 10)
            kill_a_backup(world.settings, server_processes, tmp_path / "killed")
            done = gateway(world.settings, "backup", str(tmp_path / "copy"))
            assert done.returncode == 0, done.stderr
            asked = load.asked
            load.wait_until(lambda load: load.asked >= asked + 10)
        assert load.unanswered == 0, "a backup must not be noticed by those who ask"
        world.assert_log_verifies()
        outsider = Outsider(location=world.settings.log_dir, vkey=world.gateway.log_key.encode())
        outsider.look()
        # Here the database is lost. The log's files are saved, from the disk or from a mirror.
        with empty_database_beside(world.settings.database_url, tmp_path) as database_url:
            elsewhere = moved(world, tmp_path / "elsewhere", database_url)
            for process in world.processes.values():
                process.terminate()
                process.wait(40)
            refused = gateway(elsewhere.settings, "restore", str(tmp_path / "killed"), "--yes")
            assert refused.returncode == 1
            assert "unfinished" in refused.stderr
            done = gateway(elsewhere.settings, "restore", str(tmp_path / "copy"), "--yes")
            assert done.returncode == 0, done.stderr
            assert "entries verify, in the log and in the database" in done.stdout

            elsewhere.gateway = assemble(elsewhere.settings)
            with running(elsewhere.layout, elsewhere.settings):
                shipped = Asking(service=SERVICE, reference="DSA-003")
                again = [ask(elsewhere, elsewhere.consumer(), shipped, 0, token=elsewhere.officer_token())]
                elsewhere.assert_log_verifies()
            elsewhere.gateway.database.close()
            outsider.location = elsewhere.settings.log_dir
            outsider.look()
            assert_in_log([*load.told, *filter(None, again)], outsider.leaves)
            assert len(again) == 1
            checked = gateway(elsewhere.settings, "audit", "verify")
            assert checked.returncode == 0, checked.stderr


def kill_a_backup(settings: Settings, processes: Processes, folder: Path) -> None:
    """Kill a backup as soon as it has begun."""
    begun = processes.start(
        [sys.executable, "-m", "gateway", "backup", str(folder)],
        env={name: value for name, value in process_environment(settings).items() if name.startswith("GATEWAY_")},
        name="killed-backup",
    )
    wait_until(folder.exists, within_seconds=30)
    begun.process.kill()
    begun.process.wait(10)
    assert not (folder / MANIFEST).exists()


def gateway(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one `gateway` command with these settings."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=process_environment(settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def moved(world: World, state_dir: Path, database_url: str) -> World:
    """The same members and addresses over a new folder, with what an operator keeps apart from backups: keys, log."""
    state_dir.mkdir()
    for name in ("keys", "subject-keys", "log", "demo"):
        shutil.copytree(world.settings.state_dir / name, state_dir / name)
    return replace(
        world,
        layout=replace(world.layout, state_dir=state_dir, database_url=database_url),
        settings=replace(world.settings, state_dir=state_dir, database_url=database_url),
        _tokens={},
    )


def assert_in_log(told: Sequence[Receipt], leaves: Sequence[Leaf]) -> None:
    entries = {b64_encode(leaf_hash(leaf.encode())) for leaf in leaves}
    assert told
    missing = [receipt.exchange for receipt in told if receipt.log_entry not in entries]
    assert not missing
