"""The database held against the published log: rows, their columns, their details, and how far the log has come."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.checking.faults import Fault, FaultKind, Report
from gateway.audit.checking.tree import CheckEntries
from gateway.audit.errors import DetailsAltered, DetailsErased, DetailsExpired, DetailsLost, LogNotVerified
from gateway.audit.models import EventRow, LogHeadRow
from gateway.audit.recorded import erased_among
from gateway.clock import rfc3339
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.wire.errors import InvalidTree
from gateway.wire.leaves import parse_leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import Checkpoint

_AT_ONCE = 256  # rows held in memory
_MAX_NAMED = 100  # of one sort of row


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSeen:
    """The database's account of the log at one moment."""

    size: int
    published_size: int
    archived_size: int
    note: bytes | None


def rows_check(database: Database, *, audit_log: AuditLog | None = None, report: Report | None = None) -> CheckEntries:
    """Return a check for `verify_log`: the database's rows are the published entries, and say what those say.

    With `audit_log`, details that can still be decrypted must also open their commitments. Rows of archived entries
    may be gone. Faults are raised as `LogNotVerified`, or told to `report` where one is given.
    """
    told = report or _raise

    def check(first: int, entries: Sequence[bytes]) -> None:
        with database.read() as session:
            _check_run(session, first, entries, audit_log, told)

    return check


def read_head(database: Database) -> HeadSeen:
    """Return what the database says now."""
    with database.read() as session:
        row = session.get_one(LogHeadRow, 1)
        note = row.checkpoint.encode() if row.checkpoint is not None else None
        return HeadSeen(size=row.size, published_size=row.published_size, archived_size=row.archived_size, note=note)


def check_head(
    before: HeadSeen, on_disk: Checkpoint | None, after: HeadSeen, *, opened: Checkpoint | None, report: Report
) -> None:
    """Hold the published checkpoint against the database's account, read once before it and once after.

    `opened` is the checkpoint that the account before held. A running sequencer may move on in between.
    """
    disk_size = on_disk.size if on_disk is not None else 0
    if disk_size > after.size:
        text = (
            f"{disk_size} entries were published, but the database holds only {after.size}: "
            f"entry {after.size} is the first it has lost"
        )
        report(Fault(kind=FaultKind.HEAD, index=after.size, text=text))
    if before.published_size > disk_size:
        text = (
            f"the database knows of {before.published_size} published entries, the checkpoint of {disk_size}: "
            "the log's files are older than the database"
        )
        report(Fault(kind=FaultKind.HEAD, index=disk_size, text=text))
    if opened is None:
        return
    if opened.size != before.published_size:
        text = f"the database's checkpoint has {opened.size} entries, its head says {before.published_size}"
        report(Fault(kind=FaultKind.HEAD, index=min(opened.size, before.published_size), text=text))
    if on_disk is not None and opened.size == on_disk.size and opened.root != on_disk.root:
        text = f"the database and the published checkpoint state two roots for {on_disk.size} entries"
        report(Fault(kind=FaultKind.HEAD, text=text))


def check_numbering(database: Database, *, published: int, now: datetime, merge_delay: float, report: Report) -> None:
    """Check what no published entry vouches for: rows beyond the checkpoint, doubled indexes, rows left waiting."""
    with database.read() as session:
        size = session.get_one(LogHeadRow, 1).size
        _check_beyond(session, published, size, report)
        doubled = (
            select(EventRow.leaf_index)
            .where(EventRow.leaf_index.is_not(None))
            .group_by(EventRow.leaf_index)
            .having(func.count() > 1)
            .limit(_MAX_NAMED)
        )
        for index in session.scalars(doubled):
            report(Fault(kind=FaultKind.ROW, index=index, text=f"several rows claim to be entry {index}"))
        late = (EventRow.leaf_index.is_(None), EventRow.occurred_at < now - timedelta(seconds=merge_delay))
        count, oldest = session.execute(select(func.count(), func.min(EventRow.occurred_at)).where(*late)).one()
        if count:
            text = f"events without an index beyond the merge delay: {count}, the oldest since {rfc3339(oldest)}"
            report(Fault(kind=FaultKind.ROW, index=size, text=text))
        numbered = (EventRow.leaf_index >= published, EventRow.leaf_index < size)
        waiting = session.scalars(select(func.min(EventRow.occurred_at)).where(*numbered)).one_or_none()
        if waiting is not None and waiting < now - timedelta(seconds=merge_delay):
            text = f"entries {published} to {size - 1} are not published yet, the oldest since {rfc3339(waiting)}"
            report(Fault(kind=FaultKind.ROW, index=published, text=text))


def _check_beyond(session: Session, published: int, size: int, report: Report) -> None:
    """Rows that are numbered and not published yet have the indexes from `published` to `size` - 1, each once."""
    rows = select(EventRow).where(EventRow.leaf_index >= published).order_by(EventRow.leaf_index)
    expected, gaps = published, 0
    for row in session.scalars(rows.execution_options(yield_per=_AT_ONCE)):
        index = row.leaf_index
        if index is None or index >= size:
            report(Fault(kind=FaultKind.ROW, index=index, text=f"a row claims to be entry {index} of {size}"))
            continue
        while expected < index and gaps < _MAX_NAMED:
            report(Fault(kind=FaultKind.ROW, index=expected, text=f"the database has lost entry {expected}"))
            expected, gaps = expected + 1, gaps + 1
        expected = index + 1
        _check_columns(row, report)
    if expected < size:
        report(
            Fault(kind=FaultKind.ROW, index=expected, text=f"the database has lost entries {expected} to {size - 1}")
        )
    below = session.scalar(select(func.min(EventRow.leaf_index)).where(EventRow.leaf_index < 0))
    if below is not None:
        report(Fault(kind=FaultKind.ROW, text=f"a row claims to be entry {below}"))


def _check_run(
    session: Session, first: int, entries: Sequence[bytes], audit_log: AuditLog | None, report: Report
) -> None:
    asked = select(EventRow).where(EventRow.leaf_index >= first, EventRow.leaf_index < first + len(entries))
    rows = {row.leaf_index: row for row in session.scalars(asked)}
    # Asked for after the rows: what was archived and deleted meanwhile is not lost.
    archived = session.scalar(select(LogHeadRow.archived_size)) or 0
    erased = erased_among(session, {row.key_id for row in rows.values()}) if audit_log is not None else frozenset()
    for index, entry in enumerate(entries, start=first):
        row = rows.get(index)
        if row is None:
            if index >= archived:
                text = f"entry {index} is published, but the database has lost it"
                report(Fault(kind=FaultKind.ROW, index=index, text=text))
        elif row.leaf != entry or row.leaf_hash != leaf_hash(entry):
            text = f"entry {index} in the database is not the published one"
            report(Fault(kind=FaultKind.ROW, index=index, text=text))
        else:
            _check_columns(row, report)
            if audit_log is not None:
                _check_details(audit_log, session, row, erased, report)


def _check_columns(row: EventRow, report: Report) -> None:
    """What auditors search by says what the entry says."""
    index = row.leaf_index
    try:
        leaf = parse_leaf(row.leaf)
    except InvalidTree as error:
        report(Fault(kind=FaultKind.ROW, index=index, text=f"entry {index} is not an event: {error.public}"))
        return
    said = {
        "id": (str(row.id), leaf.event_id),
        "name": (row.name, leaf.event),
        "outcome": (row.outcome, leaf.outcome),
        "reference": (row.reference, leaf.reference),
        "occurred_at": (rfc3339(row.occurred_at), leaf.at),
        "leaf_hash": (row.leaf_hash, leaf_hash(row.leaf)),
    }
    for name, (in_row, in_leaf) in said.items():
        if in_row != in_leaf:
            text = f"entry {index} in the database has another {name} than its leaf"
            report(Fault(kind=FaultKind.ROW, index=index, text=text))


def _check_details(
    audit_log: AuditLog, session: Session, row: EventRow, erased: Collection[bytes], report: Report
) -> None:
    index = row.leaf_index
    try:
        audit_log.details_of(session, row.id, erased=erased)
    except (DetailsErased, DetailsExpired, DetailsLost):
        return  # Erased or forgotten as the law may ask; the entry and its proofs stand.
    except DetailsAltered:
        text = f"the details of entry {index} do not open their commitment"
        report(Fault(kind=FaultKind.DETAILS, index=index, text=text))
    except OSError as error:
        text = f"the key of the details of entry {index} cannot be read"
        report(Fault(kind=FaultKind.DETAILS, index=index, text=text, detail=str(error)))


def _raise(fault: Fault) -> None:
    raise LogNotVerified(fault.text, detail=fault.detail)


OpenNote = Callable[[bytes], Checkpoint]


def open_recorded(head: HeadSeen, open_note: OpenNote, report: Report) -> Checkpoint | None:
    """Return the checkpoint that the database holds, or None where it holds none or one nobody trusted has signed."""
    if head.note is None:
        return None
    try:
        return open_note(head.note)
    except GatewayError as error:
        report(Fault(kind=FaultKind.HEAD, text=f"in the database, {error.public}", detail=error.detail))
        return None
