"""The published log, read to be handed on: each entry with its place, held against the tree before it leaves."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.audit.errors import LogNotVerified, LogUnreadable, NotYetPublished
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.clock import parse_rfc3339
from gateway.wire.errors import InvalidTree
from gateway.wire.leaves import Leaf, parse_leaf
from gateway.wire.merkle import inclusion_proof, leaf_hash, verify_inclusion
from gateway.wire.notes import Checkpoint, VerifierKey, open_checkpoint
from gateway.wire.tiles import TILE_WIDTH, decode_entry_bundle, entries_path, subtree_hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEntry:
    """One entry of the log: `data` are its bytes, `inclusion_proof` the hashes of RFC 9162 §2.1.3."""

    index: int
    data: bytes
    leaf: Leaf
    leaf_hash: bytes
    inclusion_proof: tuple[bytes, ...]


class PublishedLog:
    """The log as one signed checkpoint has it; it does not grow while it is read."""

    def __init__(self, log_dir: Path, *, verifier_keys: tuple[VerifierKey, ...]) -> None:
        """Read the checkpoint; raises `NotYetPublished` without one, `InvalidNote` for one that is not ours."""
        self._files = TileFiles(directory=log_dir)
        note = self._files.read(CHECKPOINT)
        if note is None:
            raise NotYetPublished
        self.note: bytes = note
        self.checkpoint: Checkpoint = open_checkpoint(note, verifier_keys)

    def entries(self, first: int, end: int) -> Iterator[PublishedEntry]:
        """Yield the entries [first, end), each with a proof that was checked.

        Raises `LogNotVerified` naming the entry that is not in the tree, `LogUnreadable` when a file is missing.
        """
        size, root = self.checkpoint.size, self.checkpoint.root
        for begin in range(first // TILE_WIDTH * TILE_WIDTH, min(end, size), TILE_WIDTH):
            # Anew for each bundle: the hashes of a whole log would fill the memory.
            subtree_hash = subtree_hashes(size, self._files.read_tile)
            for index, data in enumerate(self._bundle(begin), start=begin):
                if not first <= index < end:
                    continue
                proof, hashed = inclusion_proof(index, size, subtree_hash), leaf_hash(data)
                try:
                    verify_inclusion(hashed, index=index, size=size, proof=proof, root=root)
                    leaf = parse_leaf(data)
                except InvalidTree as error:
                    raise LogNotVerified(f"entry {index} is not the one in the tree", detail=str(error)) from error
                yield PublishedEntry(index=index, data=data, leaf=leaf, leaf_hash=hashed, inclusion_proof=tuple(proof))

    def first_since(self, moment: datetime) -> int:
        """Return the index of the first entry of this moment or later, as the log orders them; its size if none is."""
        low, high = 0, self.checkpoint.size
        while low < high:
            middle = (low + high) // 2
            begin = middle // TILE_WIDTH * TILE_WIDTH
            at = parse_rfc3339(parse_leaf(self._bundle(begin)[middle - begin]).at)
            low, high = (middle + 1, high) if at < moment else (low, middle)
        return low

    def _bundle(self, begin: int) -> list[bytes]:
        width = min(TILE_WIDTH, self.checkpoint.size - begin)
        full = entries_path(begin // TILE_WIDTH)
        # The partial one may have grown into a full one since the checkpoint was read.
        data = self._files.read(entries_path(begin // TILE_WIDTH, width)) or self._files.read(full)
        if data is None:
            raise LogUnreadable(f"{full} is missing")
        entries = decode_entry_bundle(data)
        if len(entries) < width:
            raise LogNotVerified(f"entry {begin + len(entries)} is missing from {full}")
        return entries[:width]
