"""The sequencer: committed events get their index, become tiles, and are published under a signed checkpoint.

One run is four steps. Step 1 alone decides anything; the others follow from the database and write the same bytes each
time, so a run that stopped anywhere is repeated, never mended. Each step is durable before the next one begins:

1. indexes: one transaction, committed; from then on these entries have their places;
2. tiles and bundles: each file is written under another name, synced, renamed; then every folder is synced;
3. the signature, and the witnesses' where there are any: a witness has stored what it cosigned before it answers;
4. the checkpoint: written, synced, renamed, its folder synced; then the database records it.

What stops between 3 and 4 has signed something that nobody was shown but the witnesses: the next run signs the same
entries or more of them, never others, for the indexes were committed first. Before anything is signed, the last
published checkpoint must be a prefix of what would be: a restored backup cannot fork the log, it is refused.
"""

import fcntl
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, FromClause, Select, Update, Uuid, column, func, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from gateway.audit.errors import LogForked
from gateway.audit.log_keys import LogKeys
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.audit.tree_writer import TreeWriter
from gateway.audit.witnesses import Witnesses
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError, Unavailable
from gateway.wire.notes import Checkpoint, VerifierKey, add_signatures, open_note, parse_checkpoint, split_note
from gateway.wire.tiles import TILE_WIDTH, entries_path, prove_consistency, tile_path, tiles_between

BATCH = 4096
"""How many events one transaction numbers at most: a multiple of a tile's width."""

PARTIALS_KEPT = timedelta(seconds=60)
"""How long the partial forms of a tile outlive its completion: for outsiders who hold a checkpoint of just before."""

_LOCK = ".sequencer.lock"
_ADVISORY_LOCK = 0x6175646974  # "audit": one sequencer among all nodes on one PostgreSQL database


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A checkpoint that outsiders may have seen, the signed note that states it, and which of our keys signed it."""

    checkpoint: Checkpoint
    note: bytes
    signed_by: tuple[VerifierKey, ...]


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
        self,
        database: Database,
        *,
        log_dir: Path,
        keys: LogKeys,
        clock: Clock,
        witnesses: Witnesses | None = None,
        batch: int = BATCH,
    ) -> None:
        """Take the parts; nothing is read or opened yet. Raises `ValueError` for a batch that is not whole tiles."""
        if batch < TILE_WIDTH or batch % TILE_WIDTH:
            message = f"a batch is a multiple of {TILE_WIDTH}"
            raise ValueError(message)
        self._database = database
        self._files = TileFiles(directory=log_dir)
        self._writer = TreeWriter(database=database, files=self._files, batch=batch)
        self._keys = keys
        self._clock = clock
        self._witnesses = witnesses
        self._batch = batch
        self._completed: deque[tuple[datetime, tuple[str, ...]]] = deque()

    def run_once(self) -> int:
        """Number at most one batch, publish whatever is numbered; returns how many entries were newly published.

        Call again while it returns more than 0. Raises `LogForked`, having signed nothing, when the database and the
        published log disagree, or a witness has seen what the database does not hold; `QuorumMissed` when too few
        witnesses have cosigned.
        """
        self._files.directory.mkdir(parents=True, exist_ok=True)
        with self._alone() as alone:
            if not alone:
                return 0
            on_disk = self._on_disk()
            head = self._head()
            _check_nothing_was_lost(head, on_disk)

            # 1. Give indexes. Committed: from here these entries have their places in the log for ever.
            confirmed = head.size - head.published_size < self._batch and self._number()
            if confirmed:
                head = self._head()
            if on_disk is not None and head.published == on_disk and head.size == on_disk.checkpoint.size:
                self._complete(head, on_disk)
                return 0

            if not confirmed:
                self._confirm(head)

            # 2. Write tiles and bundles; the root follows from them.
            root = self._write_tiles(head, on_disk)

            # 3. Sign and have it cosigned, unless exactly this is published already and only its record is missing.
            checkpoint = Checkpoint(origin=self._keys.origin, size=head.size, root=root)
            if on_disk is None or on_disk.checkpoint != checkpoint:
                signed = self._cosigned(self._sign(checkpoint), on_disk)
                # 4. Publish.
                self._publish(signed, over=on_disk)
            else:
                signed = on_disk

            # What is published is recorded: the next run starts from here.
            self._record(head, signed)
            self._drop_partials(head)
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
            # Every key of ours bears the log's name, so none vouches for another log's checkpoint.
            opened = open_note(note, self._keys.known)
            checkpoint = parse_checkpoint(opened.text)
        except GatewayError as error:
            raise LogForked(f"{what} was not signed by this log's key; nothing is signed", detail=str(error)) from error
        if checkpoint.origin != self._keys.origin:
            raise LogForked(f"{what} is another log's; nothing is signed")
        return Published(checkpoint=checkpoint, note=note, signed_by=opened.signed_by)

    def _number(self) -> bool:
        """Give the oldest committed events without an index the next ones, in the order of their ids; tell if any."""
        waiting = select(EventRow.id).where(EventRow.leaf_index.is_(None)).order_by(EventRow.id).limit(self._batch)
        with self._database.read() as session:
            if session.scalar(waiting.limit(1)) is None:
                return False
        with self._database.write() as session:
            size = session.scalars(select(LogHeadRow.size).where(LogHeadRow.id == 1).with_for_update()).one()
            numbered = _numbered(session, waiting)
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
        return True

    def _confirm(self, head: Head) -> None:
        """Commit after what is about to be published: what a replica waits for, it then has too.

        A primary that crashed shows what it finds in its own log, though no replica ever had it and nobody was told.
        """
        unchanged = update(LogHeadRow).where(LogHeadRow.id == 1, LogHeadRow.size == head.size)
        with self._database.write() as session:
            if _rows_changed(session, unchanged.values(size=head.size)) != 1:
                raise Unavailable(detail=f"another sequencer numbered entry {head.size} meanwhile")

    def _write_tiles(self, head: Head, on_disk: Published | None) -> bytes:
        """Continue the tree from the smaller of the two known checkpoints; it must pass through both."""
        known = [published.checkpoint for published in (head.published, on_disk) if published is not None]
        start = min(head.published_size, on_disk.checkpoint.size if on_disk is not None else 0)
        return self._writer.write(head.size, start=start, known=known)

    def _complete(self, head: Head, on_disk: Published) -> None:
        """Publish the same checkpoint again when a signature has come that it lacks, or when it lacks a needed one."""
        complete = on_disk
        if not set(self._keys.signing) <= set(on_disk.signed_by):
            own = split_note(self._sign(on_disk.checkpoint).note)[1]
            complete = replace(complete, note=add_signatures(complete.note, [line.encode() for line in own]))
        if self._witnesses is not None:
            complete = replace(complete, note=add_signatures(complete.note, self._witnesses.late(on_disk.checkpoint)))
            if not self._witnesses.satisfied_by(complete.note):
                complete = self._cosigned(complete, on_disk)
        if complete.note != on_disk.note:
            self._publish(complete, over=on_disk)
            self._record(head, complete)

    def _sign(self, checkpoint: Checkpoint) -> Published:
        return Published(checkpoint=checkpoint, note=self._keys.sign(checkpoint), signed_by=self._keys.signing)

    def _cosigned(self, signed: Published, on_disk: Published | None) -> Published:
        if self._witnesses is None:
            return signed
        note = self._witnesses.cosign(
            signed.note,
            signed.checkpoint,
            published_size=on_disk.checkpoint.size if on_disk is not None else 0,
            prove=lambda old, new: prove_consistency(old, new, self._files.read_tile),
        )
        return replace(signed, note=note)

    def _publish(self, signed: Published, *, over: Published | None) -> None:
        # A lock can be lost with its connection: what another node published since must not be taken back.
        if self._files.read(CHECKPOINT) != (over.note if over is not None else None):
            raise Unavailable(detail="another sequencer published meanwhile")
        # On disk: from here outsiders can hold us to this checkpoint, whatever becomes of the database.
        self._files.write_checkpoint(signed.note)

    def _record(self, head: Head, signed: Published) -> None:
        now = self._clock.now()
        recorded = update(LogHeadRow).where(LogHeadRow.id == 1, LogHeadRow.published_size == head.published_size)
        values = recorded.values(
            published_size=signed.checkpoint.size,
            root=signed.checkpoint.root,
            checkpoint=signed.note.decode(),
            published_at=now,
        )
        with self._database.write() as session:
            if _rows_changed(session, values) != 1:
                raise Unavailable(detail=f"another sequencer published beyond {head.published_size} meanwhile")

    def _drop_partials(self, head: Head) -> None:
        """Delete the partial forms of tiles completed a while ago; what a restart forgets stays, harmlessly."""
        now = self._clock.now()
        full = [tile for tile in tiles_between(head.published_size, head.size) if tile.width == TILE_WIDTH]
        bundles = [entries_path(tile.index) for tile in full if tile.level == 0]
        if full:
            self._completed.append((now, (*(tile_path(tile.level, tile.index) for tile in full), *bundles)))
        while self._completed and now - self._completed[0][0] > PARTIALS_KEPT:
            self._files.drop_partials(self._completed.popleft()[1])


def _lock_if_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _numbered(session: Session, waiting: Select[UUID]) -> FromClause:
    """Return the ids that wait as rows of `id` and `place`, which counts from 0."""
    if session.get_bind().dialect.name != "postgresql":
        batch = waiting.subquery()
        return select(batch.c.id, (func.row_number().over(order_by=batch.c.id) - 1).label("place")).subquery()
    # As values, so that the server knows how many they are. Where its statistics are older than a backlog it believes
    # in a handful of rows, compares each of thousands with each, and is stopped by the time limit again and again.
    ids = sql_cast(list(session.scalars(waiting)), ARRAY(Uuid))
    counted = func.unnest(ids).table_valued(column("id", Uuid), with_ordinality="nth").render_derived()
    return select(counted.c.id, (counted.c.nth - 1).label("place")).subquery()


def _rows_changed(session: Session, statement: Update) -> int:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def _check_nothing_was_lost(head: Head, on_disk: Published | None) -> None:
    """Refuse to go on from a database or from files that are older than what was published."""
    if on_disk is None:
        if head.published is not None:
            raise LogForked(
                f"{head.published_size} entries were published, but there is no checkpoint in this folder: its files "
                "are missing (restore them from a backup, however old), or a sequencer was started with another "
                "folder; nothing is signed"
            )
        return
    published = on_disk.checkpoint
    if published.size > head.size:
        raise LogForked(
            f"{published.size} entries were published, but the database holds only {head.size}: "
            f"entry {head.size} is the first it has lost; nothing is signed",
            index=head.size,
        )
    recorded = head.published.checkpoint if head.published is not None else None
    if recorded is not None and published.size == recorded.size and published.root != recorded.root:
        raise LogForked(
            f"the database and the published checkpoint have different roots at {published.size} entries; "
            "nothing is signed"
        )
