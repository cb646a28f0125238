"""Entries looked for by their leaf hash: a receipt names its entry so, and gives no index."""

from collections.abc import Set as AbstractSet

from gateway.audit.checking.proofs import entry_at
from gateway.audit.checking.sources import LogSource, read_ahead
from gateway.audit.errors import LogUnreadable
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.notes import Checkpoint
from gateway.wire.tiles import TILE_WIDTH, tile_path


def find_leaves(
    source: LogSource, checkpoint: Checkpoint, wanted: AbstractSet[bytes], *, first: int = 0, end: int | None = None
) -> dict[bytes, tuple[int, bytes]]:
    """Return index and entry of each wanted leaf hash that stands in [first, end) of the tree, newest looked at first.

    It reads level 0 tiles, believing none: what is found is returned only with its entry, proved under the
    checkpoint. Raises as `entry_at` does when a tile names an entry that the tree does not hold, and `LogUnreadable`
    where a tile is missing.
    """
    found: dict[bytes, tuple[int, bytes]] = {}
    stop = checkpoint.size if end is None else min(end, checkpoint.size)
    indexes = range((stop - 1) // TILE_WIDTH, first // TILE_WIDTH - 1, -1) if stop > first else range(0)
    paths = (tile_path(0, index, min(TILE_WIDTH, checkpoint.size - index * TILE_WIDTH)) for index in indexes)
    for index, ready in zip(indexes, read_ahead(source, paths), strict=True):
        data = ready()
        if data is None:
            # Not to be taken for a tile without the entry: its receipt would be called missing ever after.
            raise LogUnreadable(f"{tile_path(0, index)} is missing")
        for at in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES):
            item = data[at : at + HASH_BYTES]
            place = index * TILE_WIDTH + at // HASH_BYTES
            if item in wanted and first <= place < stop:
                found[item] = (place, entry_at(source, checkpoint, place, hashed=item))
        if len(found) == len(wanted):
            break
    return found
