"""What a witness must never forget: the last checkpoint it cosigned of each log, in one file that is replaced whole.

The file is made once, empty, by `gateway audit witness init`. From then on a missing, cut or altered file means that
nothing is cosigned: a witness that began again from zero would cosign any history.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audit.witness.errors import WitnessBusy, WitnessNotUsable, WitnessStateDamaged
from gateway.errors import GatewayError
from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import parse_json_object
from gateway.wire.notes import Checkpoint, check_key_name, parse_checkpoint, split_note
from gateway.wire.signer import PrivateKeySigner

FORMAT = "gateway-witness/1"
TURN_SECONDS = 5.0

_STATE = "state.json"
_KEY = "witness.pem"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is in the file: the witness's name, and the last cosigned checkpoint of each log by origin.

    `notes` are the checkpoints with the logs' own signatures: what a log has signed is the evidence against it.
    """

    name: str
    notes: Mapping[str, str]

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint cosigned of a log, None before the first."""
        note = self.notes.get(origin)
        return parse_checkpoint(split_note(note.encode())[0]) if note is not None else None

    def replaced(self, origin: str, note: bytes) -> "Remembered":
        """Return the same with another checkpoint of one log."""
        return Remembered(name=self.name, notes={**self.notes, origin: note.decode()})

    def encode(self) -> bytes:
        """Return the file's bytes: JSON, with a digest over everything said."""
        said = {"format": FORMAT, "name": self.name, "checkpoints": dict(self.notes)}
        return (json.dumps({**said, "sha256": _digest(said)}, indent=2, ensure_ascii=False) + "\n").encode()


class WitnessFolder:
    """A witness's folder: its key, its state, and the lock by which one at a time reads and replaces the state."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self, name: str) -> None:
        """Make a new witness: an empty state and a new key. Raises `WitnessNotUsable` where a key is already."""
        check_key_name(name)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.alone():
            if (self._directory / _KEY).exists():
                raise WitnessNotUsable(f"{self._directory} holds a witness already; its key and state are left alone")
            # The key last: until there is one, nothing can have been cosigned and the empty state is the truth.
            self.replace(Remembered(name=name, notes={}))
            self._write(_KEY, PrivateKeySigner.generate("Ed25519").private_pem())

    def signer(self) -> PrivateKeySigner:
        """Load the witness's key; raises `WitnessNotUsable` where there is none."""
        try:
            return PrivateKeySigner.from_pem((self._directory / _KEY).read_bytes())
        except OSError as error:
            raise WitnessNotUsable(
                f"{self._directory} holds no witness's key; run `gateway audit witness init`"
            ) from error

    def read(self) -> Remembered:
        """Return the state; raises `WitnessStateDamaged` unless it is exactly what was written."""
        try:
            members = parse_json_object((self._directory / _STATE).read_bytes())
            digest = members.pop("sha256", None)
            if members.get("format") != FORMAT or digest != _digest(members):
                raise WitnessStateDamaged(detail=f"{self._directory / _STATE} is not as it was written")
            return _checked(members)
        except (OSError, GatewayError) as error:
            raise WitnessStateDamaged(detail=str(error)) from error

    def replace(self, state: Remembered) -> None:
        """Write the state, durably: when this returns, no crash brings the old one back. Raises `WitnessBusy`."""
        try:
            self._write(_STATE, state.encode())
        except OSError as error:
            raise WitnessBusy(detail=str(error)) from error

    @contextmanager
    def alone(self, *, within_seconds: float = TURN_SECONDS) -> Iterator[None]:
        """Hold the lock among all threads and processes of this machine; raises `WitnessBusy` when no turn comes."""
        try:
            descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WitnessBusy(detail=str(error)) from error
        try:
            _lock_within(descriptor, within_seconds)
            yield
        finally:
            os.close(descriptor)  # closing gives the lock back, even after an exception

    def _write(self, name: str, content: bytes) -> None:
        # One name for what is unfinished: it is written under the lock, and a crash leaves at most one behind.
        unfinished = self._directory / f".{name}.new"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._directory / name)
        folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lock_within(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise WitnessBusy(detail="no turn came") from None
            time.sleep(0.002)
        else:
            return


def _checked(members: Mapping[str, Any]) -> Remembered:
    name, checkpoints = members.get("name"), members.get("checkpoints")
    if not isinstance(name, str) or not isinstance(checkpoints, dict):
        raise WitnessStateDamaged(detail="the state names no witness or holds no checkpoints")
    state = Remembered(name=name, notes=checkpoints)
    for origin in checkpoints:
        last = state.last(origin)
        if last is None or last.origin != origin:
            raise WitnessStateDamaged(detail=f"the state of {origin} is another log's checkpoint")
    return state


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(said)).hexdigest()
