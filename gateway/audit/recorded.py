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
ERASED = "audit.subject.erased"


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


def erasure_reference(key_id: bytes) -> str:
    """Return the reference of the entry that records the destruction of this key: its random id, which names nobody."""
    return f"key:{key_id.hex()}"


def is_erased(session: Session, key_id: bytes) -> bool:
    """Tell whether the log records that this key is destroyed."""
    recorded = select(EventRow.id).where(EventRow.reference == erasure_reference(key_id), EventRow.name == ERASED)
    return session.scalar(recorded.limit(1)) is not None


def erased_among(session: Session, key_ids: Collection[bytes]) -> frozenset[bytes]:
    """Return those of these keys whose destruction the log records."""
    asked = {erasure_reference(key_id): key_id for key_id in key_ids}
    recorded = select(EventRow.reference).where(EventRow.name == ERASED, EventRow.reference.in_(asked))
    return frozenset(asked[reference] for reference in session.scalars(recorded) if reference is not None)


def erased_keys(session: Session) -> dict[UUID, bytes]:
    """Return the id of every key that the log records as destroyed, by the event that records it."""
    recorded = select(EventRow.id, EventRow.reference).where(EventRow.name == ERASED)
    return {
        event_id: bytes.fromhex(reference.removeprefix("key:"))
        for event_id, reference in session.execute(recorded)
        if reference is not None
    }


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
