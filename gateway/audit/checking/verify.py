"""The whole log checked, as an outsider would: from its files alone, and optionally against the database's rows.

1. The checkpoint is signed by the key the caller trusts.
2. Every entry hashes to its place in the published level 0 tiles; every tile above follows from the one below.
3. The root that the entries lead to is the signed one.
4. With the database at hand: every row is the published entry, and every detail that can be read opens its commitment.

The first place that disagrees is named by its index.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.checking.sources import LogSource, read_grown
from gateway.audit.errors import DetailsAltered, DetailsErased, LogNotVerified, LogUnreadable
from gateway.audit.models import EventRow
from gateway.audit.tile_files import CHECKPOINT
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.wire.errors import InvalidTree
from gateway.wire.merkle import HASH_BYTES, CompactRange, leaf_hash, root_of
from gateway.wire.notes import Checkpoint, open_checkpoint, parse_verifier_key
from gateway.wire.tiles import TILE_WIDTH, Tile, decode_entry_bundle, entries_path

Progress = Callable[[int, int], None]
"""Called with how many entries are checked, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """A log that holds together: `size` entries lead to `root`, signed under `origin`."""

    origin: str
    size: int
    root: bytes


def verify_log(
    source: LogSource,
    *,
    vkey: str,
    progress: Progress | None = None,
    check_entries: Callable[[int, Sequence[bytes]], None] | None = None,
) -> VerifiedLog:
    """Check the whole log against the verifier key `vkey`; memory does not grow with the log.

    `check_entries` is called with the index of the first of each run of entries, and the run. Raises `LogNotVerified`
    naming the first index or tile that disagrees, `LogUnreadable` when a file is missing or the source fails.
    """
    checkpoint = _signed_checkpoint(source, vkey)
    tree, tiles = CompactRange(), _TileChecker(source)
    for first, entries in _bundles(source, checkpoint.size):
        hashes = [leaf_hash(entry) for entry in entries]
        tiles.check_leaves(first, hashes)
        for item in hashes:
            tree.append(item)
        if check_entries is not None:
            check_entries(first, entries)
        if progress is not None:
            progress(first + len(entries), checkpoint.size)
    tiles.check_rest()
    if tree.root() != checkpoint.root:
        raise LogNotVerified(f"the {checkpoint.size} entries lead to another root than the signed one")
    return VerifiedLog(origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root)


def rows_check(database: Database, *, audit_log: AuditLog | None = None) -> Callable[[int, Sequence[bytes]], None]:
    """Return a check for `verify_log`: the database's rows are the published entries.

    With `audit_log`, details that can still be decrypted must also open their commitments.
    """

    def check(first: int, entries: Sequence[bytes]) -> None:
        published = select(EventRow).where(EventRow.leaf_index >= first, EventRow.leaf_index < first + len(entries))
        with database.read() as session:
            rows = {row.leaf_index: row for row in session.scalars(published)}
            for index, entry in enumerate(entries, start=first):
                row = rows.get(index)
                if row is None:
                    raise LogNotVerified(f"entry {index} is published, but the database has lost it")
                if row.leaf != entry or row.leaf_hash != leaf_hash(entry):
                    raise LogNotVerified(f"entry {index} in the database is not the published one")
                if audit_log is not None:
                    _check_details(audit_log, session, row)

    return check


class _TileChecker:
    """Holds the published hash tiles against what the entries hash to, one pending tile a level."""

    def __init__(self, source: LogSource) -> None:
        self._source = source
        self._pending: list[list[bytes]] = []  # of level 1 and above
        self._done: list[int] = []

    def check_leaves(self, first: int, hashes: Sequence[bytes]) -> None:
        """Compare the level 0 tile that begins with entry `first`."""
        published = self._published(Tile(level=0, index=first // TILE_WIDTH, width=len(hashes)))
        for at, item in enumerate(hashes):
            if published[at] != item:
                raise LogNotVerified(f"entry {first + at} is not the one in the tree")
        if len(hashes) == TILE_WIDTH:
            self._rise(1, root_of(hashes))

    def check_rest(self) -> None:
        """Compare the partial tiles of level 1 and above."""
        for level, pending in enumerate(self._pending, start=1):
            if pending:
                self._check(level, pending)

    def _rise(self, level: int, item: bytes) -> None:
        if len(self._pending) < level:
            self._pending.append([])
            self._done.append(0)
        pending = self._pending[level - 1]
        pending.append(item)
        if len(pending) == TILE_WIDTH:
            self._check(level, pending)
            self._rise(level + 1, root_of(pending))
            self._done[level - 1] += 1
            pending.clear()

    def _check(self, level: int, hashes: Sequence[bytes]) -> None:
        tile = Tile(level=level, index=self._done[level - 1], width=len(hashes))
        for at, (published, item) in enumerate(zip(self._published(tile), hashes, strict=True)):
            if published != item:
                span = TILE_WIDTH**level
                first = (tile.index * TILE_WIDTH + at) * span
                raise LogNotVerified(f"{tile.path} disagrees with entries {first} to {first + span - 1}")

    def _published(self, tile: Tile) -> list[bytes]:
        data = read_grown(self._source, tile.path)
        if data is None:
            raise LogUnreadable(f"{tile.path} is missing")
        if len(data) % HASH_BYTES or not tile.width * HASH_BYTES <= len(data) <= TILE_WIDTH * HASH_BYTES:
            raise LogNotVerified(f"{tile.path} does not have the size it should have")
        return [data[at : at + HASH_BYTES] for at in range(0, tile.width * HASH_BYTES, HASH_BYTES)]


def _signed_checkpoint(source: LogSource, vkey: str) -> Checkpoint:
    key = parse_verifier_key(vkey)
    note = source.read(CHECKPOINT)
    if note is None:
        raise LogUnreadable("there is no checkpoint")
    try:
        return open_checkpoint(note, [key])
    except GatewayError as error:
        raise LogNotVerified(f"the checkpoint: {error.public}", detail=error.detail) from error


def _bundles(source: LogSource, size: int) -> Iterator[tuple[int, list[bytes]]]:
    for first in range(0, size, TILE_WIDTH):
        width = min(TILE_WIDTH, size - first)
        path = entries_path(first // TILE_WIDTH, width)
        data = read_grown(source, path)
        if data is None:
            raise LogUnreadable(f"{path} is missing")
        try:
            entries = decode_entry_bundle(data)
        except InvalidTree as error:
            raise LogNotVerified(f"{path}: {error.public}") from error
        if len(entries) < width:
            raise LogNotVerified(f"entry {first + len(entries)} is missing from {path}")
        yield first, entries[:width]


def _check_details(audit_log: AuditLog, session: Session, row: EventRow) -> None:
    try:
        audit_log.details_of(session, row.id)
    except DetailsErased:
        return  # Erased as the law may ask; the entry and its proofs stand.
    except DetailsAltered as error:
        raise LogNotVerified(f"the details of entry {row.leaf_index} do not open their commitment") from error
