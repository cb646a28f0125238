"""A log made straight from entries, without database or sequencer: for logs that are large, or not what they were."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.wire.leaves import Leaf, commitment
from gateway.wire.merkle import leaf_hashes_of, root_of
from gateway.wire.notes import Checkpoint, sign_note, verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.tiles import TILE_WIDTH, Tile, encode_entry_bundle, entries_path, grow

ORIGIN = "built.example/log"
_ID = "0190c0de-0000-7000-8000-000000000000"


def an_entry(index: int, *, outcome: str = "disclosed") -> bytes:
    """Entry `index` of every built log: a leaf, different for each index and outcome."""
    leaf = Leaf(
        event_id=_ID[:-12] + f"{index:012d}",
        event="sharing.record.disclosed",
        at="2026-11-23T09:30:00.000Z",
        members=("E06000008", "dwp"),
        outcome=outcome,
        reference=_ID[:-12] + f"{index:012d}",
        commitment=commitment(b"salt" * 4, {"index": index}),
    )
    return leaf.encode()


def entries_up_to(size: int) -> list[bytes]:
    """The first entries of every built log; quick enough for a hundred thousand of them."""
    model = an_entry(0)
    return [model.replace(_ID.encode(), _ID[:-12].encode() + b"%012d" % index) for index in range(size)]


@dataclass(slots=True, kw_only=True)
class BuiltLog:
    """A log's folder and key; `entries` are what it holds so far."""

    directory: Path
    signer: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("Ed25519"))
    entries: list[bytes] = field(default_factory=list)

    @property
    def vkey(self) -> str:
        """The verifier key outsiders know."""
        return verifier_key_of(self.signer, ORIGIN).encode()

    def publish(self, entries: Sequence[bytes]) -> "BuiltLog":
        """Append these entries and publish the whole under a new checkpoint; older partial tiles stay."""
        old = len(self.entries)
        self.entries += entries
        size = len(self.entries)
        for at in range(old // TILE_WIDTH * TILE_WIDTH, size, TILE_WIDTH):
            run = self.entries[at : min(at + TILE_WIDTH, size)]
            self.write(entries_path(at // TILE_WIDTH, len(run)), encode_entry_bundle(run))
        for tile, data in grow(old, leaf_hashes_of(self.entries[old:]), self._tile):
            self.write(tile.path, data)
        checkpoint = Checkpoint(origin=ORIGIN, size=size, root=root_of(leaf_hashes_of(self.entries)))
        self.write("checkpoint", sign_note(checkpoint.encode(), self.signer, ORIGIN))
        return self

    def write(self, path: str, data: bytes) -> None:
        """Put a file of the log in its place."""
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def flip(self, path: str, at: int = 0) -> None:
        """Change one bit of a file."""
        data = bytearray((self.directory / path).read_bytes())
        data[at] ^= 1
        self.write(path, bytes(data))

    def _tile(self, tile: Tile) -> bytes:
        return (self.directory / tile.path).read_bytes()
