"""A restored database brought forward: the published log still holds the entries that it has lost.

A row that is missing is written again with its leaf and its index; its details went with the database. A row that is
there without an index gets the one under which it was published. All in the caller's one transaction, which must be
rolled back if this raises: nothing is believed before the whole log has verified.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.verify import verify_log
from gateway.audit.errors import LogForked, LogUnreadable
from gateway.audit.models import EventRow, LogHeadRow
from gateway.backup.log_copy import Progress, opened, published_note
from gateway.clock import parse_rfc3339
from gateway.wire.leaves import Leaf, parse_leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import VerifierKey

Notice = Callable[[Leaf], None]
"""Told of every entry whose row was lost, in the order of the log."""


@dataclass(slots=True, kw_only=True)
class Forward:
    """How far the database was, how far the published log is, and how many rows were lost between."""

    database_size: int
    published_size: int
    lost: int = 0
    renumbered: int = 0
    """Rows that were there, without the index under which they had been published."""


def bring_forward(
    session: Session, log_dir: Path, *, keys: Sequence[VerifierKey], notice: Notice, now: datetime, progress: Progress
) -> Forward:
    """Hold the database's rows against the whole published log, and add what it has beyond them.

    Raises `LogForked` naming the first index at which the two tell different stories, `LogNotVerified` or
    `LogUnreadable` when the log itself does not hold, or is not there though the database knows of one.
    """
    head = session.get_one(LogHeadRow, 1, with_for_update=True, populate_existing=True)
    note = published_note(log_dir)
    if note is None and head.published_size:
        raise LogUnreadable(f"{head.published_size} entries were published, but {log_dir} holds no published log")
    if note is None:
        return Forward(database_size=head.size, published_size=0)
    checkpoint = opened(note, keys)
    result = Forward(database_size=head.size, published_size=checkpoint.size)
    _check_nothing_beyond(session, head.size)

    def check(first: int, entries: Sequence[bytes]) -> None:
        known = max(0, min(len(entries), head.size - first))
        _check_rows(session, first, entries[:known], archived_size=head.archived_size)
        _add_rows(session, first + known, entries[known:], result, notice)

    verify_log(
        FileSource(log_dir),
        vkey=[key.encode() for key in keys],
        check_entries=check,
        progress=lambda done, total: progress("reading the published log", done, total),
    )
    if checkpoint.size > head.size:
        head.size = head.published_size = checkpoint.size
        head.root, head.checkpoint, head.published_at = checkpoint.root, note.decode(), now
        session.flush()
    return result


def _check_nothing_beyond(session: Session, size: int) -> None:
    beyond = select(EventRow.leaf_index).where(EventRow.leaf_index >= size).order_by(EventRow.leaf_index).limit(1)
    index = session.scalar(beyond)
    if index is not None:
        raise LogForked(f"entry {index} has a row, but the database says it numbered only {size}")


def _check_rows(session: Session, first: int, entries: Sequence[bytes], *, archived_size: int) -> None:
    if not entries:
        return
    asked = select(EventRow.leaf_index, EventRow.leaf).where(
        EventRow.leaf_index >= first, EventRow.leaf_index < first + len(entries)
    )
    rows: dict[int | None, bytes] = {row.leaf_index: row.leaf for row in session.execute(asked)}
    for index, entry in enumerate(entries, start=first):
        if index not in rows:
            if index < archived_size:
                continue  # It is in an archive, and its row may be gone.
            raise LogForked(f"entry {index} is published, but the database has lost it among those it numbered")
        if rows[index] != entry:
            raise LogForked(f"entry {index} in the database is not the published one")


def _add_rows(session: Session, first: int, entries: Sequence[bytes], result: Forward, notice: Notice) -> None:
    if not entries:
        return
    leaves = [parse_leaf(entry) for entry in entries]
    ids = [UUID(leaf.event_id) for leaf in leaves]
    asked = select(EventRow.id, EventRow.leaf).where(EventRow.id.in_(ids), EventRow.leaf_index.is_(None))
    waiting: dict[UUID, bytes] = {row.id: row.leaf for row in session.execute(asked)}
    lost: list[dict[str, Any]] = []
    for index, (event_id, leaf, entry) in enumerate(zip(ids, leaves, entries, strict=True), start=first):
        if event_id not in waiting:
            lost.append(_row(index, leaf, entry))
            notice(leaf)
        elif waiting[event_id] != entry:
            raise LogForked(f"entry {index} in the database is not the published one")
        else:
            session.execute(update(EventRow).where(EventRow.id == event_id).values(leaf_index=index))
            result.renumbered += 1
    if lost:
        session.execute(insert(EventRow), lost)
        result.lost += len(lost)


def _row(index: int, leaf: Leaf, entry: bytes) -> dict[str, Any]:
    return {
        "id": UUID(leaf.event_id),
        "leaf_index": index,
        "occurred_at": parse_rfc3339(leaf.at),
        "name": leaf.event,
        "outcome": leaf.outcome or "",
        "reference": leaf.reference,
        "leaf": entry,
        "leaf_hash": leaf_hash(entry),
        # Empty, and under no key: the details are lost.
        "subject_tag": "",
        "key_id": b"",
        "details": b"",
    }
