"""Proofs from a log's files alone: that an entry is in it, that it grew from an earlier size. No database is asked.

No proof leaves that does not hold: files damaged since they were published are noticed here.
"""

import json
from dataclasses import dataclass

from gateway.audit.checking.sources import LogSource, read_grown
from gateway.audit.checking.trust import Trust, read_checkpoint
from gateway.audit.errors import LogNotVerified, LogUnreadable, NoSuchEntry
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import InvalidTree
from gateway.wire.log_proofs import LogProof
from gateway.wire.merkle import leaf_hash, range_hash, verify_consistency, verify_inclusion
from gateway.wire.notes import Checkpoint
from gateway.wire.proofs import encode_evidence
from gateway.wire.tiles import (
    TILE_WIDTH,
    ReadTile,
    Tile,
    decode_entry_bundle,
    entries_path,
    prove_consistency,
    prove_inclusion,
    subtree_hashes,
)

CONSISTENCY_FORMAT = "gateway-consistency/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryProof:
    """An entry proved: its bytes, its index, the inclusion proof (RFC 9162 §2.1.3), the signed checkpoint."""

    entry: bytes
    index: int
    hashes: tuple[bytes, ...]
    note: bytes

    def as_log_proof(self, *, receipt: str | None = None) -> bytes:
        """Return the file in C2SP tlog-proof format; its `extra` carries the entry, and the receipt if there is one."""
        extra = encode_evidence(self.entry, receipt=receipt)
        return LogProof(index=self.index, hashes=self.hashes, checkpoint=self.note, extra=extra).encode()


def prove_entry(source: LogSource, trust: Trust, index: int) -> EntryProof:
    """Return the proof that entry `index` is in the log as published now.

    Raises `NoSuchEntry`, `LogNotVerified` or `LogUnreadable`.
    """
    checkpoint, note = read_checkpoint(source, trust)
    _check_there(index, checkpoint)
    entry = _read_entry(source, index, checkpoint.size)
    hashes = _prove(source, checkpoint, index, leaf_hash(entry))
    return EntryProof(entry=entry, index=index, hashes=tuple(hashes), note=note)


def entry_at(source: LogSource, checkpoint: Checkpoint, index: int, *, hashed: bytes) -> bytes:
    """Return the entry at `index` of the tree under a checkpoint, proved to be there and to have the given leaf hash.

    Raises `NoSuchEntry`, `LogNotVerified` or `LogUnreadable`.
    """
    _check_there(index, checkpoint)
    entry = _read_entry(source, index, checkpoint.size)
    if leaf_hash(entry) != hashed:
        raise LogNotVerified(f"entry {index} is not the one in the tree")
    _prove(source, checkpoint, index, hashed)
    return entry


def prove_growth(source: LogSource, trust: Trust, old_size: int) -> bytes:
    """Return the proof that the log grew from its first `old_size` entries: JSON, hashes in standard base64.

    `{format, old_size, old_root, new_size, new_root, consistency_proof, checkpoint}` (RFC 9162 §2.1.4). Raises
    `NoSuchEntry` for a size the log has not reached, `LogNotVerified` or `LogUnreadable`.
    """
    checkpoint, note = read_checkpoint(source, trust)
    if not 0 <= old_size <= checkpoint.size:
        raise NoSuchEntry(f"the log has {checkpoint.size} entries")
    read_tile = _tiles(source)
    try:
        old_root = range_hash(0, old_size, subtree_hashes(checkpoint.size, read_tile))
        proof = prove_consistency(old_size, checkpoint.size, read_tile)
        verify_consistency(
            old_size=old_size, old_root=old_root, new_size=checkpoint.size, new_root=checkpoint.root, proof=proof
        )
    except InvalidTree as error:
        raise LogNotVerified(f"the log's files do not lead to its signed root: {error.public}") from error
    members = {
        "format": CONSISTENCY_FORMAT,
        "old_size": old_size,
        "old_root": b64_encode(old_root),
        "new_size": checkpoint.size,
        "new_root": b64_encode(checkpoint.root),
        "consistency_proof": [b64_encode(item) for item in proof],
        "checkpoint": note.decode(),
    }
    return (json.dumps(members, indent=2, ensure_ascii=False) + "\n").encode()


def _check_there(index: int, checkpoint: Checkpoint) -> None:
    if not 0 <= index < checkpoint.size:
        raise NoSuchEntry(f"the log has {checkpoint.size} entries, 0 to {checkpoint.size - 1}")


def _prove(source: LogSource, checkpoint: Checkpoint, index: int, hashed: bytes) -> list[bytes]:
    try:
        hashes = prove_inclusion(index, checkpoint.size, _tiles(source))
        verify_inclusion(hashed, index=index, size=checkpoint.size, proof=hashes, root=checkpoint.root)
    except InvalidTree as error:
        raise LogNotVerified(f"entry {index} does not lead to the signed root: {error.public}") from error
    return hashes


def _read_entry(source: LogSource, index: int, size: int) -> bytes:
    bundle, place = divmod(index, TILE_WIDTH)
    path = entries_path(bundle, min(TILE_WIDTH, size - bundle * TILE_WIDTH))
    data = read_grown(source, path)
    if data is None:
        raise LogUnreadable(f"{path} is missing")
    try:
        entries = decode_entry_bundle(data)
    except InvalidTree as error:
        raise LogNotVerified(f"{path}: {error.public}") from error
    if place >= len(entries):
        raise LogNotVerified(f"entry {index} is missing from {path}")
    return entries[place]


def _tiles(source: LogSource) -> ReadTile:
    def read_tile(tile: Tile) -> bytes:
        data = read_grown(source, tile.path)
        if data is None:
            raise LogUnreadable(f"{tile.path} is missing")
        return data

    return read_tile
