"""The log as static files: C2SP tlog-tiles. Paths, entry bundles, and every hash and proof worked out from tiles.

A tile is a run of up to 256 consecutive hashes of one level; a hash of level L + 1 is the root of a full tile of level
L. Whoever holds the tiles passes a `ReadTile`, be it a disk, a database or an HTTP client: nothing here does I/O.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.wire.errors import InvalidTree
from gateway.wire.merkle import (
    HASH_BYTES,
    CompactRange,
    SubtreeHash,
    consistency_proof,
    inclusion_proof,
    range_hash,
    root_of,
)

TILE_WIDTH = 256
MAX_ENTRY_BYTES = 65_535  # an entry's length is a uint16

_HEIGHT = 8  # 256 = 2**8
_GROUP = 1000  # path elements hold three decimal digits


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Tile:
    """One tile: its level (0 holds leaf hashes), its index in the level, its width in hashes (256 when full)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (0 <= self.level <= 63 and self.index >= 0 and 1 <= self.width <= TILE_WIDTH):  # noqa: PLR2004
            raise InvalidTree("there is no such tile")

    @property
    def path(self) -> str:
        """Where the tile is served, below the log's prefix."""
        return tile_path(self.level, self.index, self.width)


# Returns a tile's bytes: `width` hashes of 32 bytes, or the full tile that has grown from it since.
ReadTile = Callable[[Tile], bytes]


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return `tile/<L>/<N>[.p/<W>]`: 1234067 becomes `x001/x234/067`."""
    return f"tile/{level}/{_index_path(index)}{_partial(width)}"


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return `tile/entries/<N>[.p/<W>]`, the bundle beside the level 0 tile of the same index and width."""
    return f"tile/entries/{_index_path(index)}{_partial(width)}"


def encode_entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries each behind its big-endian uint16 length; raises `InvalidTree` for one over 65,535 bytes."""
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise InvalidTree("a bundle holds 1 to 256 entries")
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise InvalidTree("an entry is longer than 65,535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_entry_bundle(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle; raises `InvalidTree` when it is cut off or holds more than 256."""
    entries: list[bytes] = []
    at = 0
    while at < len(bundle):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        if at > len(bundle) or len(entries) == TILE_WIDTH:
            raise InvalidTree("the entry bundle is cut off or too long")
        entries.append(bundle[start:at])
    return entries


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of a tree of this size, level by level: the full ones, then the partial one if there is one."""
    return tiles_between(0, size)


def tiles_between(old_size: int, new_size: int) -> Iterator[Tile]:
    """Yield the tiles that a tree must gain to grow from `old_size` to `new_size`."""
    level = 0
    while new_size >> (_HEIGHT * level):
        before, after = old_size >> (_HEIGHT * level), new_size >> (_HEIGHT * level)
        if before != after:
            for index in range(before // TILE_WIDTH, -(-after // TILE_WIDTH)):
                yield Tile(level=level, index=index, width=min(TILE_WIDTH, after - index * TILE_WIDTH))
        level += 1


def grow(old_size: int, leaf_hashes: Sequence[bytes], read_tile: ReadTile) -> Iterator[tuple[Tile, bytes]]:
    """Yield every hash tile, with its bytes, that appending these leaf hashes brings into being, lowest level first.

    `read_tile` gives the partial tiles of the tree of `old_size`; their width is checked, not their truth.
    """
    added, level, size = list(leaf_hashes), 0, old_size
    while added:
        first, width = divmod(size, TILE_WIDTH)
        held = _hashes(read_tile, Tile(level=level, index=first, width=width)) if width else []
        hashes = held + added
        size, added = first, []
        for at in range(0, len(hashes), TILE_WIDTH):
            run = hashes[at : at + TILE_WIDTH]
            yield Tile(level=level, index=first + at // TILE_WIDTH, width=len(run)), b"".join(run)
            if len(run) == TILE_WIDTH:
                added.append(root_of(run))
        level += 1


def tree_root(size: int, read_tile: ReadTile) -> bytes:
    """Return the root hash of the tree of `size` leaves from its tiles."""
    return range_hash(0, size, subtree_hashes(size, read_tile))


def tree_range(size: int, read_tile: ReadTile) -> CompactRange:
    """Return the compact range of the tree of `size` leaves from its tiles, ready to be appended to."""
    subtree_hash, hashes, start = subtree_hashes(size, read_tile), [], 0
    for bit in reversed(range(size.bit_length())):
        if size >> bit & 1:
            hashes.append(subtree_hash(start, start + (1 << bit)))
            start += 1 << bit
    return CompactRange(size, hashes)


def prove_inclusion(index: int, size: int, read_tile: ReadTile) -> list[bytes]:
    """Return the inclusion proof of leaf `index` in the tree of `size` leaves from its tiles."""
    return inclusion_proof(index, size, subtree_hashes(size, read_tile))


def prove_consistency(old_size: int, new_size: int, read_tile: ReadTile) -> list[bytes]:
    """Return the proof that the tree of `new_size` begins with that of `old_size`, from the newer tree's tiles."""
    return consistency_proof(old_size, new_size, subtree_hashes(new_size, read_tile))


def subtree_hashes(size: int, read_tile: ReadTile) -> SubtreeHash:
    """Return a function giving the hash of any complete subtree of the tree of `size`; each tile is read once."""
    read: dict[tuple[int, int], list[bytes]] = {}

    def subtree_hash(start: int, end: int) -> bytes:
        # The highest level whose hashes divide the range: at most 128 of them then lie side by side in one tile.
        level = ((end - start).bit_length() - 1) // _HEIGHT
        first, count = start >> (_HEIGHT * level), (end - start) >> (_HEIGHT * level)
        index, offset = divmod(first, TILE_WIDTH)
        if (level, index) not in read:
            width = min(TILE_WIDTH, (size >> (_HEIGHT * level)) - index * TILE_WIDTH)
            read[level, index] = _hashes(read_tile, Tile(level=level, index=index, width=width))
        return root_of(read[level, index][offset : offset + count])

    return subtree_hash


def _hashes(read_tile: ReadTile, tile: Tile) -> list[bytes]:
    data = read_tile(tile)
    if len(data) % HASH_BYTES or not tile.width * HASH_BYTES <= len(data) <= TILE_WIDTH * HASH_BYTES:
        raise InvalidTree(f"the tile {tile.path} does not have the size it should have")
    return [data[at : at + HASH_BYTES] for at in range(0, tile.width * HASH_BYTES, HASH_BYTES)]


def _index_path(index: int) -> str:
    groups = [f"{index % _GROUP:03d}"]
    while index := index // _GROUP:
        groups.append(f"x{index % _GROUP:03d}")
    return "/".join(reversed(groups))


def _partial(width: int) -> str:
    return "" if width == TILE_WIDTH else f".p/{width}"
