"""Secrets of clients that, as an exception, authenticate with one: made here, shown once, kept as HMAC-SHA-256.

A secret has 256 bits, so that nothing is gained by trying; the HMAC's key is outside the database, so that a stolen
database does not even tell whether a secret found elsewhere is one of ours.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import uuid_utils.compat
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from gateway.oidc.clients.models import ClientSecretRow

SECRET_BYTES = 32
LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A secret that was just made. `secret` is shown once and kept nowhere."""

    secret: str = field(repr=False)
    expires_at: datetime


class ClientSecrets:
    """Makes and compares the secrets of one gateway's clients."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit key, the same for every worker and node."""
        self._key = key

    def issue_secret(
        self, session: Session, client_id: str, *, now: datetime, overlap: timedelta = timedelta(0)
    ) -> NewSecret:
        """Make a new secret; those before it end after `overlap`, at once when that is nothing."""
        for row in session.scalars(select(ClientSecretRow).where(ClientSecretRow.client_id == client_id)):
            until = now + overlap
            row.expires_at = until if row.expires_at is None else min(row.expires_at, until)
        made = NewSecret(secret=secrets.token_urlsafe(SECRET_BYTES), expires_at=now + LIFETIME)
        session.add(
            ClientSecretRow(
                secret_id=uuid_utils.compat.uuid7(),
                client_id=client_id,
                secret_hash=self._hash(client_id, made.secret),
                created_at=now,
                expires_at=made.expires_at,
            )
        )
        session.flush()
        forget_secrets(session, client_id, ended_by=now)
        return made

    def matches(self, session: Session, client_id: str, unverified: str, *, now: datetime) -> bool:
        """Tell whether this is a secret of this client that works now; compared in constant time."""
        given = self._hash(client_id, unverified)
        working = select(ClientSecretRow.secret_hash).where(
            ClientSecretRow.client_id == client_id,
            or_(ClientSecretRow.expires_at.is_(None), ClientSecretRow.expires_at > now),
        )
        found = [hmac.compare_digest(given, kept) for kept in session.scalars(working)]
        return any(found)

    def _hash(self, client_id: str, secret: str) -> bytes:
        # Bound to its client, so that a row moved to another one is worthless there.
        message = f"{client_id}\x00{secret}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, message, hashlib.sha256).digest()


def forget_secrets(session: Session, client_id: str, *, ended_by: datetime | None = None) -> None:
    """Delete a client's secrets: all of them, or those that had ended by then."""
    gone = delete(ClientSecretRow).where(ClientSecretRow.client_id == client_id)
    if ended_by is not None:
        gone = gone.where(ClientSecretRow.expires_at <= ended_by)
    session.execute(gone)


def secret_expiry(session: Session, client_id: str) -> datetime | None:
    """Return until when the newest secret works; None when there is none, or it does not end."""
    newest = (
        select(ClientSecretRow.expires_at)
        .where(ClientSecretRow.client_id == client_id)
        .order_by(ClientSecretRow.created_at.desc(), ClientSecretRow.secret_id.desc())
        .limit(1)
    )
    return session.scalar(newest)
