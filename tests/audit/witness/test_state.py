"""What a witness remembers: never lost, never begun anew, never told before it is written."""

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from gateway.audit.witness.errors import WitnessBusy, WitnessNotUsable, WitnessStateDamaged
from gateway.audit.witness.state import WitnessFolder
from gateway.errors import GatewayError
from gateway.wire.errors import InvalidNote
from gateway.wire.notes import SignatureLine, add_signatures
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import ORIGIN, MemoryLog
from tests.kit.witnessing import TestWitness, a_witness, asking, entries

LOG_KEY = PrivateKeySigner.generate("Ed25519")


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog(LOG_KEY)
    log.append(*entries(5))
    return log


@pytest.fixture
def watching(tmp_path: Path, log: MemoryLog, clock: FrozenClock) -> TestWitness:
    watching = a_witness(tmp_path / "witness", log, clock=clock)
    watching.witness().add_checkpoint(asking(log, 0))
    return watching


def status(watching: TestWitness, body: bytes) -> int:
    return watching.client().post("/add-checkpoint", data=body).status_code


def test_key_and_state_are_nobody_elses_on_the_machine(watching: TestWitness) -> None:
    assert stat.S_IMODE(watching.directory.stat().st_mode) == 0o700
    for path in watching.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_state_that_was_cut_altered_or_lost_cosigns_nothing(watching: TestWitness, log: MemoryLog) -> None:
    path = watching.directory / "state.json"
    whole = path.read_bytes()
    client = watching.client()
    log.append(*entries(2, of="more"))
    for damaged in (
        b"",
        whole[:-20],
        b"\x00" * len(whole),
        whole.replace(b"\\n5\\n", b"\\n4\\n"),
        whole.replace(ORIGIN.encode(), b"gateway.example/gol"),
        b'{"format": "gateway-witness/1", "name": "w", "checkpoints": {}, "sha256": ""}',
        None,
    ):
        if damaged is None:
            path.unlink()
        else:
            assert damaged != whole
            path.write_bytes(damaged)
        for old in (5, 0):
            answer = client.post("/add-checkpoint", data=asking(log, old))
            assert answer.status_code == 503
            assert "—".encode() not in answer.data
        with pytest.raises(WitnessStateDamaged):
            watching.witness()
    path.write_bytes(whole)
    assert client.post("/add-checkpoint", data=asking(log, 5)).status_code == 200


def test_a_witness_is_made_once(watching: TestWitness) -> None:
    before = {path.name: path.read_bytes() for path in watching.directory.iterdir()}
    with pytest.raises(WitnessNotUsable):
        WitnessFolder(watching.directory).make("another.example")
    assert {path.name: path.read_bytes() for path in watching.directory.iterdir()} == before


def test_a_witness_of_an_impossible_name_is_not_made(tmp_path: Path) -> None:
    for name in ("", "two words", "a+b"):
        with pytest.raises(InvalidNote):
            WitnessFolder(tmp_path / "new").make(name)
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_key_is_no_witness(tmp_path: Path, watching: TestWitness) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(watching.directory, copy)
    (copy / "witness.pem").unlink()
    with pytest.raises(WitnessNotUsable):
        TestWitness(directory=copy, keys=watching.keys, clock=watching.clock).witness()


@pytest.mark.parametrize("call", ["fsync", "rename", "open"])
def test_nothing_is_answered_while_the_state_cannot_be_written(
    watching: TestWitness, log: MemoryLog, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    log.append(*entries(2, of="more"))
    body = asking(log, 5)
    client = watching.client()

    def full(*_arguments: object, **_keywords: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        # A disk in the wrong mood; what becomes of a process that is killed is in tests/faults.
        patch.setattr(*(Path, "rename", full) if call == "rename" else (os, call, full))
        answer = client.post("/add-checkpoint", data=body)
    assert answer.status_code == 503
    assert "—".encode() not in answer.data
    assert watching.remembered_size(ORIGIN) == 5
    assert client.post("/add-checkpoint", data=body).status_code == 200


def test_a_folder_that_could_not_be_made_durable_is_written_again_before_anything_is_answered(
    watching: TestWitness, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new state has its name, but the disk did not confirm it: after a power cut the old one may be back."""
    log.append(*entries(2, of="more"))
    client, real, synced = watching.client(), os.fsync, list[int]()

    def fails_on_folders(descriptor: int) -> None:
        synced.append(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails_on_folders)
        assert client.post("/add-checkpoint", data=asking(log, 5)).status_code == 503
        # It is the newest already, and still not safe.
        assert client.post("/add-checkpoint", data=asking(log, 7)).status_code == 503
    assert synced
    assert client.post("/add-checkpoint", data=asking(log, 7)).status_code == 200


def test_whoever_gets_no_turn_is_told_to_come_back(watching: TestWitness) -> None:
    folder, held, done = WitnessFolder(watching.directory), threading.Event(), threading.Event()

    def hold() -> None:
        with folder.alone():
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        with pytest.raises(WitnessBusy), WitnessFolder(watching.directory).alone(within_seconds=0.01):
            pass
    finally:
        done.set()
        holder.join()
    with WitnessFolder(watching.directory).alone(within_seconds=0.01):
        pass


def test_what_strangers_add_to_a_checkpoint_does_not_fill_the_memory(watching: TestWitness, log: MemoryLog) -> None:
    junk = [SignatureLine(name=f"junk{n}", key_id=b"junk", signature=bytes(1500)).encode() for n in range(90)]
    stuffed = asking(log, len(log.entries), checkpoint=add_signatures(log.checkpoint(), junk))
    assert len(stuffed) > 180_000
    assert watching.client().post("/add-checkpoint", data=stuffed).status_code == 200
    assert WitnessFolder(watching.directory).read().notes == {ORIGIN: log.checkpoint().decode()}


def test_the_state_holds_what_each_log_signed_as_evidence(watching: TestWitness, log: MemoryLog) -> None:
    assert WitnessFolder(watching.directory).read().notes == {ORIGIN: log.checkpoint().decode()}


def test_a_damaged_key_is_named(watching: TestWitness) -> None:
    (watching.directory / "witness.pem").write_text("no key")
    with pytest.raises(GatewayError):
        watching.witness()
