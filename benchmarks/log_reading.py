"""How fast outsiders check the log: verifying all of it, and proving one entry of a large one. Files are enough."""

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, figure
from benchmarks.floor import Floor
from benchmarks.measuring import Measured, run_for
from gateway.audit.checking.proofs import prove_entry
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.trust import Trust, trust_in
from gateway.audit.checking.verify import verify_log
from gateway.audit.tile_files import CHECKPOINT
from gateway.wire.leaves import Leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import Checkpoint, sign_note, verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.tiles import TILE_WIDTH, Tile, encode_entry_bundle, entries_path, grow, tree_root

VERIFIED = 200_000
PROVED_IN = 1_000_000
ORIGIN = "gateway.example/log"
PROOF_HASHES = (PROVED_IN - 1).bit_length()
_AT_ONCE = 16 * TILE_WIDTH


def verification(floor: Floor) -> Figure:
    """The whole log checked from its files, on one processor: entries, tiles, root, signature."""
    with _published(VERIFIED, _an_entry) as log:
        began = time.perf_counter()
        verified = verify_log(FileSource(log.directory), trust=log.trust)
        seconds = time.perf_counter() - began
    assert verified.size == VERIFIED
    return figure(
        f"verifying {VERIFIED:,} entries, entries a second",
        Measured(seconds=seconds, durations=[seconds]),
        database="files",
        clients=1,
        count=VERIFIED,
        floor_per_second=1 / (2 * floor.sha256_kibibyte),
        floor_of="2 SHA-256 of 1 KiB",
    )


def proofs(floor: Floor, *, seconds: float) -> Figure:
    """One entry of a large log proved from its files, and the proof checked, as `gateway audit prove` does."""
    with _published(PROVED_IN, _a_short_entry) as log:
        source = FileSource(log.directory)
        measured = run_for(
            seconds / 2,
            lambda _client: prove_entry(source, log.trust, secrets.randbelow(PROVED_IN)),
            clients=1,
            warm_up=0.5,
        )
    return figure(
        f"proofs at {PROVED_IN:,} entries",
        measured,
        database="files",
        clients=1,
        floor_per_second=1 / (PROOF_HASHES * floor.sha256_kibibyte),
        floor_of=f"{PROOF_HASHES} SHA-256 of 1 KiB",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """A published log that came straight from the tree, without events or a database."""

    directory: Path
    trust: Trust


@contextmanager
def _published(size: int, entry: Callable[[int], bytes]) -> Iterator[_Log]:
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        directory, signer = Path(folder), PrivateKeySigner.generate("Ed25519")

        def read_tile(tile: Tile) -> bytes:
            return (directory / tile.path).read_bytes()

        for begin in range(0, size, _AT_ONCE):
            entries = [entry(number) for number in range(begin, min(size, begin + _AT_ONCE))]
            for at in range(0, len(entries), TILE_WIDTH):
                run = entries[at : at + TILE_WIDTH]
                path = entries_path((begin + at) // TILE_WIDTH, len(run))
                _write(directory / path, encode_entry_bundle(run))
            for tile, data in grow(begin, [leaf_hash(each) for each in entries], read_tile):
                _write(directory / tile.path, data)
        checkpoint = Checkpoint(origin=ORIGIN, size=size, root=tree_root(size, read_tile))
        _write(directory / CHECKPOINT, sign_note(checkpoint.encode(), signer, ORIGIN))
        yield _Log(directory=directory, trust=trust_in([verifier_key_of(signer, ORIGIN).encode()]))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _an_entry(number: int) -> bytes:
    """A leaf of an ordinary size."""
    return Leaf(
        event_id=f"01890000-0000-7000-8000-{number:012x}",
        event="sharing.record.disclosed",
        at="2026-11-23T09:30:00.000Z",
        members=("E06000008", "dwp"),
        outcome="disclosed",
        reference=f"01890000-0000-7000-9000-{number:012x}",
        commitment="A" * 43,
    ).encode()


def _a_short_entry(number: int) -> bytes:
    return b"%d" % number
