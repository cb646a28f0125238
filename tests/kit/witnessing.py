"""A witness over a folder of a test's own, and what a log asks it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask.testing import FlaskClient

from gateway.audit.witness.state import WitnessFolder
from gateway.audit.witness.views import create_witness_app
from gateway.audit.witness.witness import Witness
from gateway.clock import Clock
from gateway.web.alerts import Alerts
from gateway.wire import merkle, tiles
from gateway.wire.notes import VerifierKey, verifier_key_of
from gateway.wire.witness_requests import AddCheckpoint
from tests.kit.statements import MemoryLog

WITNESS_NAME = "witness.example/w1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestWitness:
    """A witness's folder and the logs it was told of."""

    __test__ = False

    directory: Path
    keys: tuple[VerifierKey, ...]
    clock: Clock

    def witness(self) -> Witness:
        """The witness, as after a restart."""
        return Witness(self.directory, logs=self.keys, clock=self.clock, alerts=Alerts())

    def client(self) -> FlaskClient:
        """Its web application, as after a restart."""
        return create_witness_app(self.witness()).test_client()

    def remembered_size(self, origin: str) -> int:
        """How much of a log it remembers: 0 before the first checkpoint."""
        last = WitnessFolder(self.directory).read().last(origin)
        return last.size if last is not None else 0


def a_witness(directory: Path, *logs: MemoryLog, clock: Clock) -> TestWitness:
    """Make a new witness of these logs."""
    WitnessFolder(directory).make(WITNESS_NAME)
    return TestWitness(
        directory=directory, keys=tuple(verifier_key_of(log.signer, log.origin) for log in logs), clock=clock
    )


def asking(
    log: MemoryLog, old_size: int, *, proof: Sequence[bytes] | None = None, checkpoint: bytes | None = None
) -> bytes:
    """The body by which a log asks for its newest checkpoint, with its true proof unless another is given."""
    if proof is None:
        size = len(log.entries)
        proof = tiles.prove_consistency(old_size, size, log.read_tile) if old_size <= size else []
    return AddCheckpoint(old_size=old_size, proof=tuple(proof), checkpoint=checkpoint or log.checkpoint()).encode()


def entries(count: int, *, of: str = "entry") -> list[bytes]:
    """Entries that differ."""
    return [f"{of} {number}".encode() for number in range(count)]


def root_of(*all_entries: bytes) -> bytes:
    """The root hash over these entries."""
    return merkle.root_of(merkle.leaf_hash(entry) for entry in all_entries)
