"""Claim a value for its one use."""

import hashlib
from datetime import datetime

from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.once.models import UsedRow


def first_use(session: Session, *, kind: str, owner: str, value: str, expires_at: datetime) -> bool:
    """Claim `value` of `kind` for `owner`; tell whether this is its first use.

    Atomic: the claim belongs to the caller's transaction, and a concurrent claim waits for it or fails. Only a digest
    is kept. `expires_at` must be later than the last moment at which the value could still be accepted.
    """
    # A JSON string may hold a lone surrogate, which is still a value to be used once.
    digest = hashlib.sha256(f"{owner}\x00{value}".encode("utf-8", "surrogatepass")).digest()
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    claim = insert(UsedRow).values(kind=kind, digest=digest, expires_at=expires_at).on_conflict_do_nothing()
    return session.execute(claim.returning(UsedRow.kind)).first() is not None


def purge_used(session: Session, *, now: datetime, limit: int = 1000) -> int:
    """Delete at most `limit` values whose time is over; returns how many."""
    expired = select(UsedRow.kind, UsedRow.digest).where(UsedRow.expires_at < now).limit(limit)
    keys = [tuple(row) for row in session.execute(expired)]
    if keys:
        session.execute(delete(UsedRow).where(tuple_(UsedRow.kind, UsedRow.digest).in_(keys)))
    return len(keys)
