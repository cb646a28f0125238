"""Real witnesses of a real gateway, killed, frozen, back: what is published is cosigned by two of three, or waits."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway.audit.recorded import oldest_unpublished
from gateway.audit.witness.state import WitnessFolder
from gateway.signing.signing_keys import SigningKeys, make_missing_keys
from gateway.wire.cosignatures import CosignatureKey, cosignature_key_of
from gateway.wire.notes import VerifierKey
from gateway.wire.trust_policy import open_checkpoint_under, parse_policy
from tests.faults.conftest import StartWorld
from tests.faults.pressure import Load, ask, assert_accounted_for, wait_until, wait_until_ready
from tests.kit.processes import REPOSITORY, Processes, Running, free_port, processes
from tests.kit.world import World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(180)]

ORIGIN = "gateway.example/log"


@dataclass(slots=True, kw_only=True)
class OneWitness:
    """A witness's folder, its port, and its process."""

    folder: Path
    port: int
    key: CosignatureKey
    running: Running | None = None

    def start(self, group: Processes, logs: Path) -> None:
        """Run the command that whoever runs a witness runs."""
        command = [str(Path(sys.executable).with_name("gateway")), "audit", "witness", "serve"]
        self.running = group.start(
            [*command, "--state", str(self.folder), "--logs", str(logs), "--listen", f"127.0.0.1:{self.port}"],
            name=self.folder.name,
            env={},
            cwd=REPOSITORY,
            ready_url=f"http://127.0.0.1:{self.port}/",
        )

    def signal(self, number: int) -> None:
        assert self.running is not None
        for pid in (self.running.pid, *(child.pid for child in self.running.descendants())):
            os.kill(pid, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """A gateway, its three witnesses, and what an outsider knows of them."""

    world: World
    witnesses: list[OneWitness]
    policy: bytes
    log_key: VerifierKey
    group: Processes
    logs: Path

    def cosigned(self) -> tuple[int, int]:
        """The size that is published and how many have cosigned it; fails unless the policy is satisfied."""
        note = requests.get(f"{self.world.issuer}/log/checkpoint", timeout=5).content
        trusted = open_checkpoint_under(parse_policy(self.policy), note, log_keys=[self.log_key])
        return trusted.checkpoint.size, len({cosignature.key for cosignature in trusted.cosignatures})

    def all_published(self) -> bool:
        """Whether what is in the database is published."""
        with self.world.gateway.database.read() as session:
            return oldest_unpublished(session) is None

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert said so far."""
        log = self.world.layout.world_dir / "logs" / "gateway.log"
        lines = [line for line in log.read_text().splitlines() if '"alert' in line]
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def witnessed(start_world: StartWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witnessed]:
    folder = tmp_path_factory.mktemp("witnessed")
    state = folder / "state"
    make_missing_keys(state / "keys")
    log_key = SigningKeys.load(state / "keys").log_keys(ORIGIN).newest
    logs = folder / "logs.txt"
    logs.write_text(f"log {log_key.encode()}\nquorum none\n")
    witnesses = []
    for number in range(3):
        witness_folder = WitnessFolder(folder / f"w{number}")
        witness_folder.make(f"witness.example/w{number}")
        key = cosignature_key_of(witness_folder.signer(), f"witness.example/w{number}")
        witnesses.append(OneWitness(folder=folder / f"w{number}", port=free_port(), key=key))
    lines = [f"witness w{n} {each.key.encode()} http://127.0.0.1:{each.port}" for n, each in enumerate(witnesses)]
    policy = ("\n".join([*lines, "group two 2 w0 w1 w2", "quorum two"]) + "\n").encode()
    (folder / "policy.txt").write_bytes(policy)
    with processes(folder / "logs") as group:
        for witness in witnesses:
            witness.start(group, logs)
        with start_world(
            state=state,
            log_origin=ORIGIN,
            witness_policy=folder / "policy.txt",
            witness_timeout=1.0,
            merge_delay=4.0,
            workers=2,
            more_providers=[f"127.0.0.1:{witness.port}" for witness in witnesses],
        ) as world:
            yield Witnessed(world=world, witnesses=witnesses, policy=policy, log_key=log_key, group=group, logs=logs)


def test_a_log_whose_witnesses_come_and_go_is_published_under_its_policy_or_waits(witnessed: Witnessed) -> None:
    world, asking, load = witnessed.world, witnessed.world.asking(), Load()
    # What the world was made of is in the log, and some of it is older than the delay that was promised.
    wait_until_ready(world)
    token = world.officer_token()
    first, second, _third = witnessed.witnesses

    def ask_some() -> None:
        for number in range(4):
            load.note(ask(world, world.consumer(), asking, number, token=token))

    ask_some()
    wait_until(witnessed.all_published, within_seconds=10)
    wait_until(lambda: witnessed.cosigned()[1] == 3, within_seconds=10)

    # One is killed: two are enough.
    assert first.running is not None
    first.running.kill_all()
    ask_some()
    wait_until(witnessed.all_published, within_seconds=10)
    assert witnessed.cosigned()[1] == 2
    wait_until(lambda: ("witness_absent", first.key.name) in _said(witnessed), within_seconds=10)

    # Another one is frozen: nothing new is published, and the doors close when the promise is broken.
    second.signal(signal.SIGSTOP)
    try:
        ask_some()
        assert not witnessed.all_published()
        wait_until(lambda: not requests.get(f"{world.issuer}/readyz", timeout=5).ok, within_seconds=20)
        published = witnessed.cosigned()
        wait_until(
            lambda: {"witness_quorum_missed", "log_behind"} <= {alert for alert, _about in _said(witnessed)},
            within_seconds=20,
        )
        assert witnessed.cosigned() == published, "what was published stays as it was"
        assert published[1] == 2

        # The one that was killed is started again, and that is enough.
        first.start(witnessed.group, witnessed.logs)
        wait_until_ready(world)
        wait_until(witnessed.all_published, within_seconds=20)
        assert witnessed.cosigned()[0] > published[0]
    finally:
        second.signal(signal.SIGCONT)

    ask_some()
    wait_until(witnessed.all_published, within_seconds=20)
    assert witnessed.cosigned()[1] >= 2
    assert_accounted_for(world, asking, load.told)
    wait_until(
        lambda: {"witness_quorum_missed", "log_behind", "witness_absent"} <= _ended(witnessed), within_seconds=10
    )
    recorded = [world.details(event)["witness"] for event in world.events(names=["audit.witness.failed"])]
    assert sorted(recorded) == [first.key.name, second.key.name]


def _said(witnessed: Witnessed) -> set[tuple[str, str]]:
    return {(line["alert"], line.get("about", "")) for line in witnessed.alerts() if "alert" in line}


def _ended(witnessed: Witnessed) -> set[str | None]:
    return {line.get("ended") for line in witnessed.alerts()}
