"""Details whose time is over are forgotten: the entry, its commitment and every proof stay.

Work goes on by kind of event, in the order of their ids, which is that of time; how far it came is remembered, so that
rows that have nothing left to forget are not looked at again. Each batch is one short transaction with its own entry.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE, EVENTS
from gateway.audit.keeping.classes import Retention
from gateway.audit.models import EventRow, ForgottenRow
from gateway.clock import rfc3339

BATCH = 4000
"""Details forgotten in one transaction, at most."""

# An event's id is made when it is written, by the clock of the node that writes; its time is when it happened. The two
# are apart by less than this.
_CLOCKS_APART = timedelta(days=1)
_BEGINNING = UUID(int=0)


def forget_expired(
    session: Session,
    audit_log: AuditLog,
    *,
    periods: Mapping[Retention, timedelta | None],
    now: datetime,
    limit: int = BATCH,
) -> int:
    """Forget at most `limit` details that are older than their class's period; returns how many.

    Records what it did in the same transaction, unless there was nothing. Of two at once, one waits for the other.
    """
    counts: dict[str, int] = {}
    before: dict[str, str] = {}
    for name, event in sorted(EVENTS.items()):
        period, room = periods[event.retention], limit - sum(counts.values())
        if period is None or room <= 0:
            continue
        forgotten = _forget(session, name, older_than=now - period, limit=room)
        if forgotten:
            counts[name] = forgotten
            before[event.retention.value] = rfc3339(now - period)
    if not counts:
        return 0
    details = {"counts": counts, "before": before}
    audit_log.append(session, Event(name="audit.details.expired", outcome=DONE, members=(), details=details), at=now)
    return sum(counts.values())


def _forget(session: Session, name: str, *, older_than: datetime, limit: int) -> int:
    remembered = _remembered(session, name)
    after = remembered.after
    found = _expired(session, name, after=after, older_than=older_than, limit=limit)
    if found:
        emptied = update(EventRow).where(EventRow.id.in_(found)).values(details=b"")
        session.execute(emptied, execution_options={"synchronize_session": False})
    # All that was asked for: there may be more after the last one. Fewer: everything surely older was looked at.
    reached = found[-1] if len(found) == limit else _last_before(session, name, older_than - _CLOCKS_APART) or after
    if reached > after:
        remembered.after = reached
    session.flush()
    return len(found)


def _remembered(session: Session, name: str) -> ForgottenRow:
    # Made by whoever comes first: another process may be at the same point.
    insert = sqlite.insert if session.connection().dialect.name == "sqlite" else postgresql.insert
    session.execute(insert(ForgottenRow).values(name=name, after=_BEGINNING).on_conflict_do_nothing())
    return session.get_one(ForgottenRow, name, with_for_update=True)


def _expired(session: Session, name: str, *, after: UUID, older_than: datetime, limit: int) -> Sequence[UUID]:
    old = select(EventRow.id).where(
        EventRow.name == name,
        EventRow.id > after,
        EventRow.id < _earliest_id(older_than + _CLOCKS_APART),
        EventRow.occurred_at < older_than,
        EventRow.details != b"",
    )
    return session.scalars(old.order_by(EventRow.id).limit(limit)).all()


def _last_before(session: Session, name: str, moment: datetime) -> UUID | None:
    # An event, not the moment: under a clock that is ahead, the moment may be one before which others still come.
    asked = select(EventRow.id).where(EventRow.name == name, EventRow.id < _earliest_id(moment))
    return session.scalar(asked.order_by(EventRow.id.desc()).limit(1))


def _earliest_id(moment: datetime) -> UUID:
    """Return the lowest UUIDv7 of this millisecond (RFC 9562 §5.7: the first 48 bits are the time)."""
    milliseconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    return UUID(int=max(0, milliseconds) << 80)
