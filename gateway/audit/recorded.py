"""Questions about what was recorded, answered as values."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.audit.models import EventRow, LogHeadRow
from gateway.wire.leaves import parse_leaf

MAX_EVENTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """The public part of a recorded event. `leaf_index` is None until the sequencer has numbered it."""

    event_id: UUID
    at: datetime
    name: str
    outcome: str
    members: tuple[str, ...]
    reference: str | None
    leaf_hash: bytes
    leaf_index: int | None


def find_events(
    session: Session,
    *,
    reference: str | None = None,
    names: Collection[str] | None = None,
    after: UUID | None = None,
    limit: int = 50,
) -> tuple[RecordedEvent, ...]:
    """Return events, newest first, at most `limit` (never over 500).

    `reference` and `names` narrow (no names at all: nothing); `after` is the id of the last event of the page before.
    """
    asked = select(EventRow).order_by(EventRow.id.desc()).limit(min(limit, MAX_EVENTS))
    if reference is not None:
        asked = asked.where(EventRow.reference == reference)
    if names is not None:
        asked = asked.where(EventRow.name.in_(names))
    if after is not None:
        asked = asked.where(EventRow.id < after)
    return tuple(_recorded(row) for row in session.scalars(asked))


def oldest_unpublished(session: Session) -> datetime | None:
    """Return when the oldest event without a published checkpoint happened, or None: what the merge delay is about."""
    # In this order: on PostgreSQL each statement sees what is committed by then, and an event that gets its index in
    # between must be met by the second question.
    waiting = select(EventRow.occurred_at).where(EventRow.leaf_index.is_(None)).order_by(EventRow.id).limit(1)
    found = [session.scalar(waiting)]
    published_size = session.get_one(LogHeadRow, 1).published_size
    found.append(session.scalar(select(EventRow.occurred_at).where(EventRow.leaf_index == published_size)))
    return min((moment for moment in found if moment is not None), default=None)


def _recorded(row: EventRow) -> RecordedEvent:
    return RecordedEvent(
        event_id=row.id,
        at=row.occurred_at,
        name=row.name,
        outcome=row.outcome,
        members=parse_leaf(row.leaf).members,
        reference=row.reference,
        leaf_hash=row.leaf_hash,
        leaf_index=row.leaf_index,
    )
