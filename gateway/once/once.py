"""Claim a value for its one use."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.once.expired import BATCH, delete_expired
from gateway.once.models import UsedRow

# Made once: every request that may be made only once asks this.
_CLAIM = {
    dialect.name: insert(UsedRow).on_conflict_do_nothing().returning(UsedRow.kind, UsedRow.digest)
    for dialect, insert in ((sqlite.dialect, sqlite.insert), (postgresql.dialect, postgresql.insert))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`value` of `kind`, claimed for `owner`; only a digest of it is kept, until `expires_at`."""

    kind: str
    owner: str
    value: str = field(repr=False)
    expires_at: datetime

    @property
    def digest(self) -> bytes:
        """What is kept of the value."""
        # A JSON string may hold a lone surrogate, which is still a value to be used once.
        return hashlib.sha256(f"{self.owner}\x00{self.value}".encode("utf-8", "surrogatepass")).digest()


def first_use(session: Session, *, kind: str, owner: str, value: str, expires_at: datetime) -> bool:
    """Claim `value` of `kind` for `owner`; tell whether this is its first use.

    Atomic: the claim belongs to the caller's transaction, and a concurrent claim waits for it or fails. Only a digest
    is kept. `expires_at` must be later than the last moment at which the value could still be accepted.
    """
    claim = Claim(kind=kind, owner=owner, value=value, expires_at=expires_at)
    return first_uses(session.connection(), (claim,))[0]


def first_uses(connection: Connection, claims: Sequence[Claim]) -> list[bool]:
    """Claim many values in one statement; tell of each whether this is its first use, as `first_use` does.

    Of equal claims among them the first alone can be it.
    """
    if not claims:
        return []
    rows = {(claim.kind, claim.digest): claim.expires_at for claim in claims}
    # In one order, so that two transactions which claim the same values wait for each other and never in a circle.
    values = [{"kind": kind, "digest": digest, "expires_at": rows[kind, digest]} for kind, digest in sorted(rows)]
    first = {(kind, digest) for kind, digest in connection.execute(_CLAIM[connection.dialect.name], values)}
    told = []
    for name in ((one.kind, one.digest) for one in claims):
        told.append(name in first)
        first.discard(name)
    return told


def give_back(connection: Connection, claims: Sequence[Claim]) -> None:
    """Undo first uses of the same transaction: what they were for did not happen."""
    keys = [(claim.kind, claim.digest) for claim in claims]
    if keys:
        connection.execute(delete(UsedRow).where(tuple_(UsedRow.kind, UsedRow.digest).in_(keys)))


def purge_used(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` values whose time is over; returns how many."""
    return delete_expired(session, UsedRow, now=now, limit=limit)
