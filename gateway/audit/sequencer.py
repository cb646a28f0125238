"""The sequencer: committed events get their index, become tiles, and are published under a signed checkpoint.

One run is four steps. Step 1 alone decides anything; steps 2 to 4 follow from the database and write the same bytes
each time, so a run that stopped anywhere is repeated, never mended. Before anything is signed, the last published
checkpoint must be a prefix of what would be: a restored backup cannot fork the log, the gateway refuses to sign.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, Update, func, select, update
from sqlalchemy.orm import Session

from gateway.audit.errors import LogForked
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError, Unavailable
from gateway.wire.merkle import HASH_BYTES, CompactRange, leaf_hash
from gateway.wire.notes import Checkpoint, open_checkpoint, sign_note, verifier_key_of
from gateway.wire.signer import Signer
from gateway.wire.tiles import (
    TILE_WIDTH,
    Tile,
    encode_entry_bundle,
    entries_path,
    grow,
    tile_path,
    tiles_between,
    tree_range,
)

BATCH = 4096
"""How many events one transaction numbers at most: a multiple of a tile's width."""

_LOCK = ".sequencer.lock"
_ADVISORY_LOCK = 0x6175646974  # "audit": one sequencer among all nodes on one PostgreSQL database


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint that outsiders may have seen, and the signed note that states it."""

    checkpoint: Checkpoint
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the database knows: entries are numbered up to `size`, and this was published of them."""

    size: int
    published: Published | None

    @property
    def published_size(self) -> int:
        """How many entries the recorded checkpoint covers."""
        return self.published.checkpoint.size if self.published is not None else 0


class Sequencer:
    """Numbers, writes, signs and publishes. Several may run: one works, the others find it busy and do nothing."""

    def __init__(
        self, database: Database, *, log_dir: Path, origin: str, signer: Signer, clock: Clock, batch: int = BATCH
    ) -> None:
        """Take an Ed25519 signer; raises `UnusableKey` for any other, `InvalidNote` for an origin that is no name."""
        self._database = database
        self._files = TileFiles(directory=log_dir)
        self._origin = origin
        self._signer = signer
        self._verifier_key = verifier_key_of(signer, origin)
        self._clock = clock
        self._batch = batch

    def run_once(self) -> int:
        """Number at most one batch, publish whatever is numbered; returns how many entries were newly published.

        Call again while it returns more than 0. Raises `LogForked`, having signed nothing, when the database and the
        published log disagree, `InvalidTree` or `LogUnreadable` when the log's files are damaged.
        """
        self._files.directory.mkdir(parents=True, exist_ok=True)
        with self._alone() as alone:
            if not alone:
                return 0
            on_disk = self._on_disk()
            _check_nothing_was_lost(self._head(), on_disk)

            # 1. Give indexes. Committed: from here these entries have their places in the log for ever.
            self._number()
            head = self._head()
            if on_disk is not None and head.published == on_disk and head.size == on_disk.checkpoint.size:
                return 0

            # 2. Write tiles and bundles; the root follows from them.
            root = self._write_tiles(head, on_disk)

            # 3. Sign, unless exactly this is published already and only its record is missing.
            checkpoint = Checkpoint(origin=self._origin, size=head.size, root=root)
            if on_disk is None or on_disk.checkpoint != checkpoint:
                signed = self._sign(checkpoint)
                # 4. Publish.
                self._publish(signed)
            else:
                signed = on_disk

            # What is published is recorded: the next run starts from here.
            self._drop_partials(head)
            self._record(head, signed)
            return head.size - head.published_size

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Yield whether this is the only sequencer at work: by a file lock, on PostgreSQL by an advisory lock too."""
        descriptor = os.open(self._files.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            free = _lock_if_free(descriptor)
            if not free or self._database.is_sqlite:
                yield free
                return
            with self._database.read() as session:
                # It belongs to this transaction, so it is given back however this ends.
                yield bool(session.scalar(select(func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))))
        finally:
            os.close(descriptor)

    def _on_disk(self) -> Published | None:
        note = self._files.read(CHECKPOINT)
        return self._opened(note, "the published checkpoint") if note is not None else None

    def _head(self) -> Head:
        with self._database.read() as session:
            row = session.get_one(LogHeadRow, 1)
        note = row.checkpoint.encode() if row.checkpoint is not None else None
        published = self._opened(note, "the checkpoint in the database") if note is not None else None
        return Head(size=row.size, published=published)

    def _opened(self, note: bytes, what: str) -> Published:
        try:
            return Published(checkpoint=open_checkpoint(note, [self._verifier_key]), note=note)
        except GatewayError as error:
            raise LogForked(f"{what} was not signed by this log's key; nothing is signed", detail=str(error)) from error

    def _number(self) -> None:
        """Give the oldest committed events without an index the next ones, in the order of their ids."""
        waiting = select(EventRow.id).where(EventRow.leaf_index.is_(None)).order_by(EventRow.id).limit(self._batch)
        with self._database.read() as session:
            if session.scalar(waiting.limit(1)) is None:
                return
        with self._database.write() as session:
            size = session.scalars(select(LogHeadRow.size).where(LogHeadRow.id == 1).with_for_update()).one()
            batch = waiting.subquery()
            place = (func.row_number().over(order_by=batch.c.id) - 1).label("place")
            numbered = select(batch.c.id, place).subquery()
            counted = _rows_changed(
                session,
                update(EventRow)
                .where(EventRow.id == numbered.c.id, EventRow.leaf_index.is_(None))
                .values(leaf_index=size + numbered.c.place),
            )
            # Compare and set: had anybody else numbered meanwhile, this rolls back whole.
            moved = update(LogHeadRow).where(LogHeadRow.id == 1, LogHeadRow.size == size)
            if _rows_changed(session, moved.values(size=size + counted)) != 1:
                raise Unavailable(detail=f"another sequencer numbered entry {size} meanwhile")

    def _write_tiles(self, head: Head, on_disk: Published | None) -> bytes:
        """Write every tile and bundle up to `head.size`, durably; returns the root hash.

        The tree is continued from the smaller of the two known checkpoints and must pass through both.
        """
        known = [published.checkpoint for published in (head.published, on_disk) if published is not None]
        start = min(head.published_size, on_disk.checkpoint.size if on_disk is not None else 0)
        tree = tree_range(start, self._files.read_tile)
        _check_passes_through(known, tree)
        # The tile of the last published entry is read again, so that a changed row is noticed here.
        begin = max(start - 1, 0) // TILE_WIDTH * TILE_WIDTH
        while begin < head.size:
            end = min(begin + self._batch, head.size)
            entries = self._entries(begin, end)
            hashes = [leaf_hash(entry) for entry in entries]
            if tree.size > begin:
                self._check_rows_as_published(begin, hashes[: tree.size - begin])
            added = hashes[tree.size - begin :]
            self._write_batch(begin, entries, tree.size, added)
            for item in added:
                tree.append(item)
                _check_passes_through(known, tree)
            begin = end
        self._files.settle()
        return tree.root()

    def _write_batch(self, begin: int, entries: Sequence[bytes], size: int, new_hashes: Sequence[bytes]) -> None:
        for at in range(0, len(entries), TILE_WIDTH):
            run = entries[at : at + TILE_WIDTH]
            path = entries_path((begin + at) // TILE_WIDTH, len(run))
            self._files.write_once(path, encode_entry_bundle(run))
        for tile, data in grow(size, new_hashes, self._files.read_tile):
            self._files.write_once(tile.path, data)

    def _entries(self, begin: int, end: int) -> list[bytes]:
        rows = select(EventRow.leaf_index, EventRow.leaf).where(EventRow.leaf_index >= begin, EventRow.leaf_index < end)
        with self._database.read() as session:
            found = session.execute(rows.order_by(EventRow.leaf_index)).all()
        for expected, (index, _leaf) in enumerate(found, start=begin):
            if index != expected:
                raise LogForked(f"the database has lost entry {expected}; nothing is signed")
        if len(found) != end - begin:
            raise LogForked(f"the database has lost entry {begin + len(found)}; nothing is signed")
        return [leaf for _index, leaf in found]

    def _check_rows_as_published(self, begin: int, hashes: Sequence[bytes]) -> None:
        tile = Tile(level=0, index=begin // TILE_WIDTH, width=len(hashes))
        published = self._files.read_tile(tile)
        for at, item in enumerate(hashes):
            if published[at * HASH_BYTES : (at + 1) * HASH_BYTES] != item:
                raise LogForked(f"entry {begin + at} in the database is not the published one; nothing is signed")

    def _sign(self, checkpoint: Checkpoint) -> Published:
        return Published(checkpoint=checkpoint, note=sign_note(checkpoint.encode(), self._signer, self._origin))

    def _publish(self, signed: Published) -> None:
        # On disk: from here outsiders can hold us to this checkpoint, whatever becomes of the database.
        self._files.write_checkpoint(signed.note)

    def _drop_partials(self, head: Head) -> None:
        full = [tile for tile in tiles_between(head.published_size, head.size) if tile.width == TILE_WIDTH]
        bundles = [entries_path(tile.index) for tile in full if tile.level == 0]
        self._files.drop_partials([*(tile_path(tile.level, tile.index) for tile in full), *bundles])

    def _record(self, head: Head, signed: Published) -> None:
        recorded = update(LogHeadRow).where(LogHeadRow.id == 1, LogHeadRow.published_size == head.published_size)
        values = recorded.values(
            published_size=signed.checkpoint.size,
            root=signed.checkpoint.root,
            checkpoint=signed.note.decode(),
            published_at=self._clock.now(),
        )
        with self._database.write() as session:
            if _rows_changed(session, values) != 1:
                raise Unavailable(detail=f"another sequencer published beyond {head.published_size} meanwhile")


def _lock_if_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _rows_changed(session: Session, statement: Update) -> int:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def _check_nothing_was_lost(head: Head, on_disk: Published | None) -> None:
    """Refuse to go on from a database or from files that are older than what was published."""
    if on_disk is None:
        if head.published is not None:
            raise LogForked(
                f"{head.published_size} entries were published, but the log's files are missing: "
                "restore them from a backup, however old; nothing is signed"
            )
        return
    published = on_disk.checkpoint
    if published.size > head.size:
        raise LogForked(
            f"{published.size} entries were published, but the database holds only {head.size}: "
            f"entry {head.size} is the first it has lost; nothing is signed"
        )
    if published.size == head.published_size and head.published is not None:
        _check_same_root(published, head.published.checkpoint.root)


def _check_passes_through(known: Sequence[Checkpoint], tree: CompactRange) -> None:
    for checkpoint in known:
        if checkpoint.size == tree.size:
            _check_same_root(checkpoint, tree.root())


def _check_same_root(checkpoint: Checkpoint, root: bytes) -> None:
    if checkpoint.root != root:
        raise LogForked(f"the log was published with another root at {checkpoint.size} entries; nothing is signed")
