"""The life of a delivery: enqueued, claimed under a lease, settled or tried again, in the end purged.

Each function works in the caller's transaction. A claim is numbered by the row's `attempts`: whoever settles must hold
the newest claim, so a worker that was thought dead and comes back late changes nothing.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from gateway.db import new_id
from gateway.once.expired import BATCH, delete_expired
from gateway.outbox.models import DeliveryRow

LEASE = timedelta(seconds=60)
"""How long one attempt may take before the delivery is claimed again; every handler's own limits are far below."""
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)
MOST_ATTEMPTS = 18
"""With pauses that double up to an hour, the last attempt is made some ten hours after the first."""
JITTER = 0.25
KEPT_WHEN_DONE = timedelta(days=7)
KEPT_WHEN_DEAD = timedelta(days=90)


class State(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"  # due now or later, or claimed at this moment
    DELIVERED = "delivered"
    DEAD = "dead"  # given up: an operator decides
    DISCARDED = "discarded"  # nobody needs it any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is to be delivered to whom. `payload` holds references from which the kind's handler makes what is sent."""

    kind: str
    recipient: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery as it stood when it was read."""

    delivery_id: UUID
    kind: str
    recipient: str
    payload: Mapping[str, Any]
    state: State
    attempts: int
    attempts_allowed: int
    due_at: datetime
    created_at: datetime
    reason: str | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The recipient has it."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It did not work, and may work later. `recipient_down`: nothing else would reach this recipient now either."""

    reason: str
    recipient_down: bool = False


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """The recipient refused it for good: to send the same again is pointless."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoLongerNeeded:
    """There is nobody left to deliver it to."""

    reason: str


Outcome: TypeAlias = Delivered | TryAgain | Undeliverable | NoLongerNeeded


def enqueue(session: Session, letters: Sequence[Letter], *, at: datetime) -> None:
    """Promise deliveries, to be made once the caller's transaction commits, and only then."""
    rows = [
        {
            "delivery_id": new_id(),
            "kind": letter.kind,
            "recipient": letter.recipient,
            "payload": dict(letter.payload),
            "state": State.WAITING,
            "attempts": 0,
            "attempts_allowed": MOST_ATTEMPTS,
            "due_at": at,
            "created_at": at,
        }
        for letter in letters
    ]
    if rows:
        session.execute(insert(DeliveryRow), rows)


def recipients_due(session: Session, *, now: datetime) -> tuple[str, ...]:
    """Return the recipients for whom something is due, the one that has waited longest first."""
    due = (
        select(DeliveryRow.recipient)
        .where(DeliveryRow.state == State.WAITING, DeliveryRow.due_at <= now)
        .group_by(DeliveryRow.recipient)
        .order_by(func.min(DeliveryRow.due_at))
    )
    return tuple(session.scalars(due))


def claim_next(session: Session, recipient: str, *, now: datetime) -> Delivery | None:
    """Claim the oldest due delivery for a recipient until its lease ends; None when there is none left."""
    query = (
        select(DeliveryRow)
        .where(DeliveryRow.state == State.WAITING, DeliveryRow.recipient == recipient, DeliveryRow.due_at <= now)
        .order_by(DeliveryRow.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)  # on SQLite the one writer at a time is us
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        return None
    row.attempts += 1
    row.due_at = now + LEASE
    session.flush()
    return _delivery(row)


def settle(session: Session, claimed: Delivery, outcome: Outcome, *, now: datetime) -> State | None:
    """Write down how an attempt ended; returns the state from now on, or None when the claim was lost meanwhile."""
    values = _values_after(claimed, outcome, now=now)
    won = session.execute(
        update(DeliveryRow)
        .where(
            DeliveryRow.delivery_id == claimed.delivery_id,
            DeliveryRow.state == State.WAITING,
            DeliveryRow.attempts == claimed.attempts,
        )
        .values(**values)
        .returning(DeliveryRow.delivery_id)
    ).first()
    return State(values["state"]) if won is not None else None


def pause_after(attempts: int, *, chance: float) -> timedelta:
    """Return how long to wait after this many attempts; `chance` from 0 to 1 spreads what failed together."""
    doublings = min(attempts - 1, 20)
    doubled = min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)
    return doubled * (1 - JITTER + 2 * JITTER * chance)


def find_delivery(session: Session, delivery_id: UUID) -> Delivery | None:
    """Return one delivery."""
    row = session.get(DeliveryRow, delivery_id)
    return _delivery(row) if row is not None else None


def list_deliveries(
    session: Session, *, state: State | None = None, recipient: str | None = None, limit: int
) -> tuple[Delivery, ...]:
    """Return deliveries, newest first, at most `limit`."""
    query = select(DeliveryRow).order_by(DeliveryRow.delivery_id.desc()).limit(limit)
    if state is not None:
        query = query.where(DeliveryRow.state == state)
    if recipient is not None:
        query = query.where(DeliveryRow.recipient == recipient)
    return tuple(_delivery(row) for row in session.scalars(query))


def count_by_state(session: Session) -> dict[State, int]:
    """Return how many deliveries there are in each state."""
    counted = session.execute(select(DeliveryRow.state, func.count()).group_by(DeliveryRow.state)).all()
    found = {State(state): count for state, count in counted}
    return {state: found.get(state, 0) for state in State}


def count_dead(session: Session) -> int:
    """Return how many dead letters wait for an operator."""
    return session.scalar(select(func.count()).where(DeliveryRow.state == State.DEAD)) or 0


def revive(session: Session, delivery_id: UUID, *, now: datetime) -> bool:
    """Let a delivery that is dead or waits for its next attempt be tried at once, with all attempts before it again.

    Tells whether there was one. The payload of a dead letter is kept for this.
    """
    retryable = (State.DEAD, State.WAITING)
    allowed = DeliveryRow.attempts + MOST_ATTEMPTS  # the count itself goes on: it numbers the claims
    values = {"state": State.WAITING, "attempts_allowed": allowed, "due_at": now}
    return _changed(session, delivery_id, states=retryable, settled_at=None, expires_at=None, **values)


def discard(session: Session, delivery_id: UUID, *, reason: str, now: datetime) -> bool:
    """Give up a delivery that is dead or waiting; tells whether there was one."""
    values = {"state": State.DISCARDED, "reason": reason} | _over(now)
    return _changed(session, delivery_id, states=(State.DEAD, State.WAITING), **values)


def purge_deliveries(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` settled deliveries whose time is over; returns how many."""
    return delete_expired(session, DeliveryRow, now=now, limit=limit)


def _values_after(claimed: Delivery, outcome: Outcome, *, now: datetime) -> dict[str, Any]:
    if isinstance(outcome, Delivered):
        return {"state": State.DELIVERED, "reason": None} | _over(now)
    if isinstance(outcome, NoLongerNeeded):
        return {"state": State.DISCARDED, "reason": outcome.reason} | _over(now)
    if isinstance(outcome, TryAgain) and claimed.attempts < claimed.attempts_allowed:
        pause = pause_after(claimed.attempts, chance=secrets.randbelow(1001) / 1000)
        return {"state": State.WAITING, "reason": outcome.reason, "due_at": now + pause}
    # The payload stays: an operator may have it tried again.
    return {"state": State.DEAD, "reason": outcome.reason, "settled_at": now, "expires_at": now + KEPT_WHEN_DEAD}


def _over(now: datetime) -> dict[str, Any]:
    return {"payload": {}, "settled_at": now, "expires_at": now + KEPT_WHEN_DONE}


def _changed(session: Session, delivery_id: UUID, *, states: tuple[State, ...], **values: Any) -> bool:
    changed = session.execute(
        update(DeliveryRow)
        .where(DeliveryRow.delivery_id == delivery_id, DeliveryRow.state.in_(states))
        .values(**values)
        .returning(DeliveryRow.delivery_id)
    )
    return changed.first() is not None


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        delivery_id=row.delivery_id,
        kind=row.kind,
        recipient=row.recipient,
        payload=dict(row.payload),
        state=State(row.state),
        attempts=row.attempts,
        attempts_allowed=row.attempts_allowed,
        due_at=row.due_at,
        created_at=row.created_at,
        reason=row.reason,
        settled_at=row.settled_at,
    )
