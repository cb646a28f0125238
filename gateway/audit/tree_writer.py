"""The tree as files: from the numbered rows of the database to tiles and entry bundles, each written once.

The same rows always give the same bytes. Whatever was written or published before must be what the rows say now; the
first entry that differs is named, and nothing is signed over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from gateway.audit.errors import LogForked, LogUnreadable
from gateway.audit.models import EventRow
from gateway.audit.tile_files import TileFiles
from gateway.db import Database
from gateway.wire.errors import InvalidTree
from gateway.wire.merkle import HASH_BYTES, CompactRange, leaf_hash
from gateway.wire.notes import Checkpoint
from gateway.wire.tiles import (
    TILE_WIDTH,
    Tile,
    decode_entry_bundle,
    encode_entry_bundle,
    entries_path,
    grow,
    tree_range,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWriter:
    """Writes the tree of one log into its files, `batch` entries in memory at a time (a multiple of a tile's width)."""

    database: Database
    files: TileFiles
    batch: int

    def write(self, size: int, *, start: int, known: Sequence[Checkpoint]) -> bytes:
        """Write every tile and bundle between the trees of `start` and `size`, durably; returns the root hash.

        The tree must pass through each of the `known` checkpoints from `start` on. Raises `LogForked`.
        """
        tree = self._tree_of(start)
        check_passes_through(known, tree)
        # The tile of the last entry before is read again, so that a changed row is noticed here.
        begin = max(tree.size - 1, 0) // TILE_WIDTH * TILE_WIDTH
        while begin < size:
            end = min(begin + self.batch, size)
            entries = self._entries(begin, end)
            hashes = [leaf_hash(entry) for entry in entries]
            if tree.size > begin:
                self._check_as_published(begin, hashes[: tree.size - begin])
            added = hashes[tree.size - begin :]
            self._write_batch(begin, entries, tree.size, added)
            for item in added:
                tree.append(item)
                check_passes_through(known, tree)
            begin = end
        self.files.settle()
        return tree.root()

    def _tree_of(self, size: int) -> CompactRange:
        try:
            return tree_range(size, self._read_tile)
        except LogUnreadable:
            # A file is missing. All are made again from the rows, and must lead through the same signed roots.
            return CompactRange()

    def _read_tile(self, tile: Tile) -> bytes:
        data = self.files.read_tile(tile)
        if len(data) % HASH_BYTES or not tile.width * HASH_BYTES <= len(data) <= TILE_WIDTH * HASH_BYTES:
            span = TILE_WIDTH**tile.level
            lost = (tile.index * TILE_WIDTH + min(len(data) // HASH_BYTES, tile.width - 1)) * span
            raise LogForked(
                f"{tile.path} does not have the size it was published with, from entry {lost} on; nothing is signed",
                index=lost,
            )
        return data

    def _entries(self, begin: int, end: int) -> list[bytes]:
        rows = select(EventRow.leaf_index, EventRow.leaf, EventRow.leaf_hash)
        between = rows.where(EventRow.leaf_index >= begin, EventRow.leaf_index < end).order_by(EventRow.leaf_index)
        with self.database.read() as session:
            found = session.execute(between).all()
        for expected, (index, leaf, recorded_hash) in enumerate(found, start=begin):
            if index != expected:
                raise _lost(expected)
            if leaf_hash(leaf) != recorded_hash:
                raise LogForked(
                    f"entry {index} in the database is not what was recorded: its hash is another; nothing is signed",
                    index=index,
                )
        if len(found) != end - begin:
            raise _lost(begin + len(found))
        return [leaf for _index, leaf, _hash in found]

    def _check_as_published(self, begin: int, hashes: Sequence[bytes]) -> None:
        tile = Tile(level=0, index=begin // TILE_WIDTH, width=len(hashes))
        place = _first_difference(_split(self._read_tile(tile)[: len(hashes) * HASH_BYTES]), hashes)
        if place is not None:
            raise _altered(begin + place)

    def _write_batch(self, begin: int, entries: Sequence[bytes], size: int, new_hashes: Sequence[bytes]) -> None:
        for tile, data in grow(size, new_hashes, self._read_tile):
            existing = self.files.write_once(tile.path, data)
            if existing is None:
                continue
            if tile.level == 0:
                raise _altered(tile.index * TILE_WIDTH + (_first_difference(_split(existing), _split(data)) or 0))
            raise LogForked(f"{tile.path} was published with other content; nothing is signed")
        for at in range(0, len(entries), TILE_WIDTH):
            run = entries[at : at + TILE_WIDTH]
            path = entries_path((begin + at) // TILE_WIDTH, len(run))
            existing = self.files.write_once(path, encode_entry_bundle(run))
            if existing is not None:
                index = begin + at + (_first_difference(_entries_in(existing), run) or 0)
                raise LogForked(
                    f"{path} was published with other content, from entry {index} on; nothing is signed", index=index
                )


def check_passes_through(known: Sequence[Checkpoint], tree: CompactRange) -> None:
    """Raise `LogForked` when a known checkpoint of the tree's size has another root."""
    for checkpoint in known:
        if checkpoint.size == tree.size and checkpoint.root != tree.root():
            raise LogForked(
                f"the log was published with another root at {checkpoint.size} entries; nothing is signed. "
                "`gateway audit verify` names the entry or file that differs"
            )


def _lost(index: int) -> LogForked:
    return LogForked(f"the database has lost entry {index}; nothing is signed", index=index)


def _altered(index: int) -> LogForked:
    return LogForked(f"entry {index} in the database is not the published one; nothing is signed", index=index)


def _first_difference(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int | None:
    pairs = enumerate(zip(ours, theirs, strict=False))
    found = next((at for at, (one, other) in pairs if one != other), None)
    return min(len(ours), len(theirs)) if found is None and len(ours) != len(theirs) else found


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def _entries_in(bundle: bytes) -> list[bytes]:
    try:
        return decode_entry_bundle(bundle)
    except InvalidTree:
        return []
