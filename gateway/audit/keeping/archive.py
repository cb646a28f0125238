"""Old ranges of the log, written to a folder that verifies on its own; then, if asked, their rows deleted.

1. The files: whole bundles [first, end), the hash tiles above them, the checkpoint that covers them, and last of all
   `range.json`, without which a folder is no archive. Durable before anything else happens.
2. The archive is verified as an outsider would.
3. The entry that says so is committed together with the new `archived_size` of the head.
4. Rows are deleted in short transactions. The published files stay, so every proof does.

A stop before 3 leaves an archive nobody knows of, to be removed and made again; a stop after it leaves rows that the
next run deletes. Rows of what was done to the log itself stay for ever: they tell which keys are erased.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.checking.sources import RANGE_FILE, RANGE_FORMAT, FileSource
from gateway.audit.checking.verify import verify_archive
from gateway.audit.errors import DetailsStillKept, LogUnreadable, NothingToArchive, NotYetPublished
from gateway.audit.events import DONE, EVENTS
from gateway.audit.keeping.classes import Retention
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.db import Database
from gateway.errors import Unavailable
from gateway.wire.encoding import b64_encode
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.notes import VerifierKey, open_checkpoint
from gateway.wire.tiles import TILE_WIDTH, entries_path, tiles_of

BATCH = 1000
"""Rows deleted in one transaction, at most."""

Progress = Callable[[int, int], None]
"""Called with how many entries are done, and how many there are."""

_STAYING = [name for name, event in EVENTS.items() if event.retention is Retention.LOG]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What an archive holds: the entries [first, end) of a log of `size` entries with this root hash."""

    first: int
    end: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Where the log is, and the public keys by which its checkpoints are known."""

    database: Database
    audit_log: AuditLog
    log_dir: Path
    verifier_keys: Sequence[VerifierKey]

    def end_before(self, moment: datetime) -> int:
        """Return the index of the first published entry that happened at this moment or later."""
        with self.database.read() as session:
            head = session.get_one(LogHeadRow, 1)
            low, high = head.archived_size, head.published_size
            while low < high:
                middle = (low + high) // 2
                happened = session.scalar(select(EventRow.occurred_at).where(EventRow.leaf_index == middle))
                if happened is not None and happened < moment:
                    low = middle + 1
                else:
                    high = middle
        return low

    def write(
        self, folder: Path, *, up_to: int, by: str, at: datetime, delete_rows: bool, progress: Progress | None = None
    ) -> Archived:
        """Archive every whole bundle below entry `up_to` that is not archived yet, in a new folder.

        With `delete_rows` their rows may then be deleted by `delete_archived`; that is decided here, because it is
        recorded here. Raises `NothingToArchive`, `DetailsStillKept`, `NotYetPublished` for an index beyond the
        checkpoint, `LogUnreadable` or `LogNotVerified` when the files do not hold. Nothing is recorded then.
        """
        files = TileFiles(directory=self.log_dir)
        note = files.read(CHECKPOINT)
        if note is None:
            raise NotYetPublished
        checkpoint = open_checkpoint(note, self.verifier_keys)
        if up_to > checkpoint.size:
            raise NotYetPublished(f"only {checkpoint.size} entries are published")
        first = self._archived_size()
        # The sequencer reads the last published entry's tile again from the rows before it goes on.
        end = min(up_to, checkpoint.size - 1) // TILE_WIDTH * TILE_WIDTH
        if end <= first:
            so_far = f"entries below {first} are archived" if first else "nothing is archived yet"
            raise NothingToArchive(f"{so_far}, and no whole bundle of {TILE_WIDTH} is due")
        if delete_rows:
            self.check_deletable(end)
        archived = Archived(first=first, end=end, size=checkpoint.size, root=checkpoint.root)
        _write_folder(files, folder, archived, note=note, origin=checkpoint.origin, progress=progress)
        verify_archive(FileSource(folder), vkey=[key.encode() for key in self.verifier_keys])
        # Verified: from here on the folder may stand for the rows.
        self._record(archived, by=by, delete_rows=delete_rows, at=at)
        return archived

    def check_deletable(self, end: int) -> None:
        """Raise `DetailsStillKept` while a row below `end` has details whose time is not over."""
        kept = select(EventRow.leaf_index).where(
            EventRow.leaf_index < end, EventRow.details != b"", EventRow.name.not_in(_STAYING)
        )
        with self.database.read() as session:
            index = session.scalar(kept.order_by(EventRow.leaf_index).limit(1))
        if index is not None:
            raise DetailsStillKept(
                f"entry {index} still has details that are to be kept; rows are deleted once they are forgotten"
            )

    def delete_archived(self, *, progress: Progress | None = None) -> int:
        """Delete the rows of everything archived, but of what was done to the log; returns how many. May be repeated.

        Raises `DetailsStillKept`; nothing is deleted then.
        """
        end = self._archived_size()
        self.check_deletable(end)
        deletable = (EventRow.leaf_index < end, EventRow.name.not_in(_STAYING))
        with self.database.read() as session:
            begin = session.scalar(select(EventRow.leaf_index).where(*deletable).order_by(EventRow.leaf_index).limit(1))
        deleted = 0
        for at in range(begin if begin is not None else end, end, BATCH):
            with self.database.write() as session:
                deleted += _deleted(session, at, min(at + BATCH, end))
            if progress is not None:
                progress(min(at + BATCH, end), end)
        return deleted

    def _archived_size(self) -> int:
        with self.database.read() as session:
            return session.get_one(LogHeadRow, 1).archived_size

    def _record(self, archived: Archived, *, by: str, delete_rows: bool, at: datetime) -> None:
        details = {
            "first": archived.first,
            "end": archived.end,
            "size": archived.size,
            "root": b64_encode(archived.root),
            "rows_deleted": delete_rows,
            "by": by,
        }
        event = Event(name="audit.range.archived", outcome=DONE, members=(), details=details)
        moved = update(LogHeadRow).where(LogHeadRow.id == 1, LogHeadRow.archived_size == archived.first)
        with self.database.write() as session:
            if _rows(session, moved.values(archived_size=archived.end)) != 1:
                raise Unavailable("Another archive was made meanwhile; this one is not recorded.")
            self.audit_log.append(session, event, at=at)


def _write_folder(
    files: TileFiles, folder: Path, archived: Archived, *, note: bytes, origin: str, progress: Progress | None
) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise LogUnreadable(f"{folder} is there already; an archive needs a new folder") from error
    written = TileFiles(directory=folder)
    for tile in tiles_of(archived.size):
        inside = archived.first <= tile.index * TILE_WIDTH < archived.end
        # Of level 0 those of the range, and the partial one at the tree's edge: without it no root follows.
        if tile.level or inside or tile.width < TILE_WIDTH:
            written.write_once(tile.path, files.read_tile(tile)[: tile.width * HASH_BYTES])
    for at in range(archived.first, archived.end, TILE_WIDTH):
        path = entries_path(at // TILE_WIDTH)
        bundle = files.read(path)
        if bundle is None:
            raise LogUnreadable(f"{path} is missing")
        written.write_once(path, bundle)
        if progress is not None:
            progress(at + TILE_WIDTH - archived.first, archived.end - archived.first)
    written.write_checkpoint(note)
    # Last: whatever stopped before this left no archive.
    members = {"format": RANGE_FORMAT, "origin": origin, "first": archived.first, "end": archived.end}
    members |= {"size": archived.size, "root": b64_encode(archived.root)}
    written.write_once(RANGE_FILE, (json.dumps(members, indent=2) + "\n").encode())
    written.settle()


def _deleted(session: Session, begin: int, end: int) -> int:
    rows = delete(EventRow).where(
        EventRow.leaf_index >= begin, EventRow.leaf_index < end, EventRow.name.not_in(_STAYING)
    )
    return _rows(session, rows)


def _rows(session: Session, statement: Any) -> int:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount
