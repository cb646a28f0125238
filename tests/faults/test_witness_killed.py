"""A witness dies in place of each call that would have changed its disk: what it answered is always remembered."""

from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from gateway.audit.witness.state import WitnessFolder
from gateway.audit.witness.witness import Witness
from gateway.wire.cosignatures import cosignatures_of
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import ORIGIN, MemoryLog
from tests.kit.strace import dies_at, fails_at, run_with_faults
from tests.kit.witnessing import TestWitness, a_witness, asking, entries

pytestmark = [pytest.mark.prove, pytest.mark.timeout(120)]

LOG_KEY = PrivateKeySigner.generate("Ed25519")
CALLS = ("openat", "write", "fsync", "rename", "renameat", "renameat2", "flock")


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog(LOG_KEY)
    log.append(*entries(5))
    return log


@pytest.fixture
def watching(tmp_path: Path, log: MemoryLog) -> TestWitness:
    return a_witness(tmp_path / "witness", log, clock=FrozenClock())


def test_wherever_a_witness_was_killed_it_remembers_all_it_answered(
    watching: TestWitness, log: MemoryLog, tmp_path: Path
) -> None:
    killed, key, answered = Counter[str](), watching.witness().key, tmp_path / "answered"
    watching.witness().add_checkpoint(asking(log, 0))
    for call in CALLS:
        for number in count(1):
            old = watching.remembered_size(ORIGIN)
            log.append(*entries(3, of=f"{call} {number}"))
            new, body, witness = len(log.entries), asking(log, old), watching.witness()
            answered.write_bytes(b"")

            def answer(body: bytes = body, witness: Witness = witness) -> None:
                # The file stands for the network: what is in it, the log has seen.
                answered.write_text(witness.add_checkpoint(body))

            ended = run_with_faults(answer, dies_at(call, number), output=tmp_path / "calls")
            assert ended.killed or ended.status == 0
            # Read whole, and one of the two: nothing in between, and never less than what was answered.
            remembered = watching.remembered_size(ORIGIN)
            assert remembered in {old, new}
            if answered.read_bytes():
                assert remembered == new
                (cosignature,) = cosignatures_of(log.checkpoint() + answered.read_bytes(), [key])
                assert cosignature.key == key
            # Whatever it remembers, it goes on from there.
            watching.witness().add_checkpoint(asking(log, remembered))
            if not ended.killed:
                break
            killed[call] += 1
    assert killed["write"] >= 2  # the state, and the answer
    assert killed["fsync"] == 2
    assert killed["rename"] + killed["renameat"] + killed["renameat2"] == 1
    assert killed["flock"] == 1


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_whatever_call_fails_a_witness_either_answers_truly_or_not_at_all(
    watching: TestWitness, log: MemoryLog, tmp_path: Path, error: str
) -> None:
    answered = tmp_path / "answered"
    watching.witness().add_checkpoint(asking(log, 0))
    for call in ("write", "fsync", "rename"):
        for number in count(1):
            old = watching.remembered_size(ORIGIN)
            log.append(*entries(2, of=f"{call} {number}"))
            body, witness = asking(log, old), watching.witness()
            answered.unlink(missing_ok=True)

            def answer(body: bytes = body, witness: Witness = witness) -> None:
                lines = witness.add_checkpoint(body)
                answered.hardlink_to(watching.directory / "state.json")  # says that there was an answer
                assert lines

            ended = run_with_faults(answer, fails_at(call, number, error=error), output=tmp_path / "calls")
            if answered.exists():
                assert watching.remembered_size(ORIGIN) == len(log.entries)
            watching.witness().add_checkpoint(asking(log, watching.remembered_size(ORIGIN)))
            if not ended.struck:
                break


def test_a_witness_killed_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    for call in ("write", "fsync", "rename"):
        for number in count(1):
            folder = WitnessFolder(tmp_path / f"{call}-{number}")

            def make(folder: WitnessFolder = folder) -> None:
                folder.make("witness.example/w1")

            ended = run_with_faults(make, dies_at(call, number), output=tmp_path / "calls")
            if not ended.killed:
                break
            if not (tmp_path / f"{call}-{number}" / "witness.pem").exists():
                folder.make("witness.example/w1")
            assert folder.read().notes == {}
            folder.signer()
