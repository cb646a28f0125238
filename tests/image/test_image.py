"""The Dockerfile proved without a container engine: its steps in a clean Debian root, and what then runs in it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.faults.pressure import wait_until
from tests.kit.dockerfile import Container, Stage, image, instructions
from tests.kit.log import assert_log_verifies
from tests.kit.processes import REPOSITORY, Processes, free_port

DOCKERFILE = REPOSITORY / "docker" / "Dockerfile"
UID = 10001

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def built() -> Iterator[Stage]:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.fail("building a clean root needs debootstrap and the rights of root (chroot, mount namespaces)")
    with image(DOCKERFILE) as stage:
        yield stage


@pytest.fixture
def container(built: Stage, tmp_path: Path) -> Container:
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o700)
    os.chown(volume, UID, UID)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)  # pytest's own folders, to be passed through
    settings = {"GATEWAY_ISSUER": "https://gateway.example", "GATEWAY_LISTEN": f"127.0.0.1:{free_port()}"}
    return Container(stage=built, volume=volume, settings=settings)


def test_the_image_serves_without_root_and_writes_nothing_but_its_state(
    container: Container, server_processes: Processes
) -> None:
    made = container.run("init")
    assert made.returncode == 0, made.stderr
    listen = f"http://{container.settings['GATEWAY_LISTEN']}"
    assert container.run(*container.stage.health, entrypoint=False).returncode == 1, "healthy, and nothing runs"

    command = container.command(*container.stage.entrypoint, *container.stage.command)
    running = server_processes.start(command, env={}, name="image", ready_url=f"{listen}/readyz", within_seconds=60)

    assert container.run(*container.stage.health, entrypoint=False).returncode == 0
    gateways = [child for child in running.descendants() if child.command.startswith("/opt/gateway/")]
    assert len(gateways) >= 5, "a supervisor, gunicorn and its two workers, `work`"
    assert {Path(f"/proc/{child.pid}").stat().st_uid for child in gateways} == {UID}
    person = ("ada.testcase@people.example", "--given-name", "Ada", "--family-name", "Testcase")
    added = container.run("accounts", "add-citizen", *person)
    assert added.returncode == 0, added.stderr
    wait_until(lambda: requests.get(f"{listen}/log/checkpoint", timeout=5).ok, within_seconds=15)
    verified = container.run("audit", "verify")
    assert verified.returncode == 0, verified.stderr
    key = container.run("audit", "key").stdout.strip()
    assert requests.get(f"{listen}/log/checkpoint", timeout=5).text.startswith(key.partition("+")[0])
    refused = container.run("sh", "-c", "touch /opt/gateway/new || touch /etc/new", entrypoint=False)
    assert "Read-only file system" in refused.stderr

    os.kill(gateways[0].pid, signal.SIGTERM)
    assert running.process.wait(40) == 0, running.output()
    assert_log_verifies(container.volume / "log", key)


def test_the_image_holds_no_private_key_no_installer_and_no_trace_of_the_machine_that_built_it(built: Stage) -> None:
    app = built.root / "opt" / "gateway"
    assert not list(app.rglob("*.pem")) or all("certifi" in str(path) for path in app.rglob("*.pem"))
    assert not list(app.rglob("site-packages/pip"))
    assert not (app / ".git").exists()
    assert not (app / "tests").exists()
    assert not (built.root / "etc" / "pip.conf").exists()
    assert [*(built.root / "run").iterdir()] == [] or not list((built.root / "run").glob("PIP_*"))
    writable = subprocess.run(
        ["find", str(app), "-user", str(UID), "-o", "-perm", "/o+w", "-not", "-type", "l"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    )
    assert writable.stdout == "", "the gateway could change its own code"


def test_whatever_the_dockerfile_copies_is_let_through_by_the_ignore_file() -> None:
    allowed = (REPOSITORY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    for step in instructions(DOCKERFILE.read_text()):
        if step.word == "COPY" and not step.rest.startswith("--from="):
            for source in step.rest.split()[:-1]:
                assert f"!{source}" in allowed
