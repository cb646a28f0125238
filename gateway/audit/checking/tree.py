"""The tree of a log checked from its files: entries against leaf hashes, every tile against the one above, the root.

A fault is reported where two neighbours disagree, and the check goes on with what is published: one wrong byte is
told of where it stands, not once more for everything above it. A report that raises makes it stop at the first.

Memory does not grow with the log, and each full tile costs two reads and some 511 hashes.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.audit.checking.faults import Fault, FaultKind, Report
from gateway.audit.checking.sources import LogSource, read_ahead, read_grown
from gateway.audit.errors import LogUnreadable
from gateway.wire.errors import InvalidTree
from gateway.wire.merkle import HASH_BYTES, CompactRange, leaf_hashes_of, root_of
from gateway.wire.tiles import TILE_WIDTH, Tile, decode_entry_bundle, entries_path

Progress = Callable[[int, int], None]
"""Called with how many entries are checked, and how many there are."""
CheckEntries = Callable[[int, Sequence[bytes]], None]
"""Called with the index of the first of a run of entries, and the run, once those not in the tiles are reported."""

_BITS = 8  # a tile spans eight levels of the tree


@dataclass(slots=True)
class _Parent:
    """A tile that is being compared with what is below it: hashes by their position in it."""

    index: int
    below: dict[int, bytes] = field(default_factory=dict)


class TreeCheck:
    """One check of the tree of `size` leaves, from the files of `source`."""

    def __init__(self, source: LogSource, *, size: int, report: Report, old_size: int = 0) -> None:
        """Take the sizes at which `root_at` will be asked: the tree's own, and that of an older state of it."""
        self._source = source
        self._size = size
        self._report = report
        self._parents: dict[int, _Parent] = {}
        # The tiles at the right edge of both sizes, kept as they were read. A source that gave other bytes the second
        # time could otherwise show one tree to the check and another to whoever asks for the root.
        self._edges = {(level, old_size >> (_BITS * (level + 1))) for level in range(_levels(old_size))}
        self._edges |= {(level, size >> (_BITS * (level + 1))) for level in range(_levels(size))}
        self._kept: dict[tuple[int, int], bytes | None] = {}

    def root_at(self, size: int) -> bytes | None:
        """Return the root of the first `size` leaves by what is published; None where a tile is missing.

        The tree's own root vouches for the tiles once everything below has been checked; after that, and only then,
        the root at an older size, whose tiles were among those checked, is what the log is signed to have been.
        """
        hashes: list[bytes] = []
        for level in reversed(range(_levels(size))):
            count = size >> (_BITS * level)
            width = count % TILE_WIDTH
            data = self.tile(level, count // TILE_WIDTH) if width else b""
            if data is None:
                return None
            hashes.extend(CompactRange.of(_split(data[: width * HASH_BYTES])).hashes)
        return CompactRange(size, hashes).root()

    def check(
        self, first: int, end: int, *, check_entries: CheckEntries | None = None, progress: Progress | None = None
    ) -> None:
        """Check the entries [first, end), every tile they are in, and every tile above those."""
        for at, entries, published in self._bundles(first, end):
            self._check_bundle(at, entries, published)
            wanted = entries[max(first - at, 0) : end - at]
            if check_entries is not None and wanted:
                check_entries(max(first, at), wanted)
            if progress is not None:
                progress(min(at + TILE_WIDTH, end), end)
        while self._parents:
            self._close(min(self._parents))

    def tile(self, level: int, index: int) -> bytes | None:
        """Return a tile of this tree as published, exactly as wide as it is; None, which is reported, if it is not."""
        if (level, index) in self._kept:
            return self._kept[level, index]
        tile = self._named(level, index)
        read = self._read(tile.path, lambda: read_grown(self._source, tile.path), index=_first_of(tile))
        return self._keep(tile, self._shaped(tile, read))

    def _named(self, level: int, index: int) -> Tile:
        width = min(TILE_WIDTH, (self._size >> (_BITS * level)) - index * TILE_WIDTH)
        return Tile(level=level, index=index, width=width)

    def _keep(self, tile: Tile, data: bytes | None) -> bytes | None:
        if (tile.level, tile.index) in self._edges:
            self._kept[tile.level, tile.index] = data
        return data

    def _bundles(self, first: int, end: int) -> Iterator[tuple[int, list[bytes], bytes | None]]:
        """Yield each bundle: where it begins, its entries (as many as can be read), and the tile beside it."""
        begins = range(first // TILE_WIDTH * TILE_WIDTH, end if first < end else 0, TILE_WIDTH)

        def paths() -> Iterator[str]:
            for at in begins:
                tile = self._named(0, at // TILE_WIDTH)
                yield entries_path(tile.index, tile.width)
                yield tile.path

        ready = read_ahead(self._source, paths())
        for at in begins:
            tile = self._named(0, at // TILE_WIDTH)
            bundle = self._read(entries_path(tile.index, tile.width), next(ready), index=at)
            published = self._shaped(tile, self._read(tile.path, next(ready), index=at))
            yield at, self._entries(at, tile.width, bundle), self._keep(tile, published)

    def _entries(self, at: int, width: int, bundle: bytes | None) -> list[bytes]:
        if bundle is None:
            return []
        path = entries_path(at // TILE_WIDTH, width)
        try:
            entries = decode_entry_bundle(bundle)
        except InvalidTree as error:
            self._report(Fault(kind=FaultKind.ENTRY, index=at, text=f"{path}: {error.public}"))
            return []
        if len(entries) < width:
            missing = at + len(entries)
            self._report(Fault(kind=FaultKind.ENTRY, index=missing, text=f"entry {missing} is missing from {path}"))
        return entries[:width]

    def _check_bundle(self, at: int, entries: Sequence[bytes], published: bytes | None) -> None:
        hashes = leaf_hashes_of(entries)
        if published is not None and b"".join(hashes) != published[: len(hashes) * HASH_BYTES]:
            for place, (item, told) in enumerate(zip(hashes, _split(published), strict=False), start=at):
                if item != told:
                    text = f"entry {place} is not the one in the tree"
                    self._report(Fault(kind=FaultKind.ENTRY, index=place, text=text))
        if at + TILE_WIDTH > self._size:
            return
        if published is not None:
            self._rise(1, at // TILE_WIDTH, _tile_root(published))
        elif len(hashes) == TILE_WIDTH:
            self._rise(1, at // TILE_WIDTH, root_of(hashes))

    def _rise(self, level: int, position: int, item: bytes) -> None:
        index, place = divmod(position, TILE_WIDTH)
        parent = self._parents.get(level)
        if parent is not None and parent.index != index:
            self._close(level)
            parent = None
        if parent is None:
            parent = self._parents[level] = _Parent(index)
        parent.below[place] = item

    def _close(self, level: int) -> None:
        parent = self._parents.pop(level)
        published = self.tile(level, parent.index)
        if published is None:
            return
        span = int(TILE_WIDTH**level)
        for place, item in parent.below.items():
            if published[place * HASH_BYTES : (place + 1) * HASH_BYTES] != item:
                begin = (parent.index * TILE_WIDTH + place) * span
                path = Tile(level=level, index=parent.index, width=len(published) // HASH_BYTES).path
                text = f"{path} disagrees with entries {begin} to {begin + span - 1}"
                self._report(Fault(kind=FaultKind.TILE, index=begin, text=text))
        if len(published) == TILE_WIDTH * HASH_BYTES:
            self._rise(level + 1, parent.index, _tile_root(published))

    def _shaped(self, tile: Tile, data: bytes | None) -> bytes | None:
        if data is None:
            return None
        if len(data) % HASH_BYTES or not tile.width * HASH_BYTES <= len(data) <= TILE_WIDTH * HASH_BYTES:
            text = f"{tile.path} does not have the size it should have"
            self._report(Fault(kind=FaultKind.TILE, index=_first_of(tile), text=text))
            return None
        return data[: tile.width * HASH_BYTES]

    def _read(self, path: str, read: Callable[[], bytes | None], *, index: int) -> bytes | None:
        try:
            data = read()
        except LogUnreadable as error:
            self._report(Fault(kind=FaultKind.UNREADABLE, index=index, text=error.public, detail=error.detail))
            return None
        if data is None:
            self._report(Fault(kind=FaultKind.MISSING, index=index, text=f"{path} is missing"))
        return data


def _levels(size: int) -> int:
    """Return how many levels of tiles a tree of this size has."""
    return -(-size.bit_length() // _BITS)


def _first_of(tile: Tile) -> int:
    """Return the index of the first entry under a tile."""
    return tile.index * int(TILE_WIDTH ** (tile.level + 1))


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def _tile_root(tile: bytes) -> bytes:
    """Return the root of a full tile; the first of its eight levels without taking the hashes apart."""
    sha256 = hashlib.sha256
    return root_of([sha256(b"\x01" + tile[at : at + 64]).digest() for at in range(0, len(tile), 2 * HASH_BYTES)])
