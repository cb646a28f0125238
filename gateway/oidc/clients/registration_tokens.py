"""Tokens that allow registration: initial ones, made by operators (RFC 7591 §3), and each client's own (RFC 7592).

Each has 256 random bits, is shown once, and is kept as its hash.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from gateway.directory.members import find_member
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.models import InitialAccessTokenRow, RegistrationTokenRow
from gateway.once.expired import BATCH, delete_expired

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made; `token` is shown once and kept nowhere."""

    token_id: UUID
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialToken:
    """A permission to register that holds now."""

    token_id: UUID
    limits: Limits


def issue_initial_token(
    session: Session, limits: Limits, *, uses: int, expires_at: datetime, by: str, now: datetime
) -> NewToken:
    """Allow so many registrations on behalf of the limits' member."""
    made = NewToken(token_id=uuid_utils.compat.uuid7(), token=secrets.token_urlsafe(TOKEN_BYTES))
    session.add(
        InitialAccessTokenRow(
            token_id=made.token_id,
            token_hash=hash_of(made.token),
            member_code=limits.member_code,
            limits=limits.as_stored(),
            uses_left=uses,
            issued_at=now,
            issued_by=by,
            expires_at=expires_at,
        )
    )
    session.flush()
    return made


def find_initial_token(session: Session, unverified: str, *, now: datetime) -> InitialToken | None:
    """Return what a token allows, if it allows anything now and its member is active."""
    row = session.scalar(
        select(InitialAccessTokenRow).where(
            InitialAccessTokenRow.token_hash == hash_of(unverified),
            InitialAccessTokenRow.uses_left > 0,
            InitialAccessTokenRow.expires_at > now,
        )
    )
    if row is None or find_member(session, row.member_code) is None:
        return None
    return InitialToken(token_id=row.token_id, limits=Limits.from_stored(row.limits))


def use_initial_token(session: Session, token_id: UUID, *, now: datetime) -> bool:
    """Take one use; false when none is left. It belongs to the transaction that registers."""
    used = session.execute(
        update(InitialAccessTokenRow)
        .where(
            InitialAccessTokenRow.token_id == token_id,
            InitialAccessTokenRow.uses_left > 0,
            InitialAccessTokenRow.expires_at > now,
        )
        .values(uses_left=InitialAccessTokenRow.uses_left - 1)
    )
    return cast("CursorResult[object]", used).rowcount == 1


def purge_initial_tokens(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` tokens whose time is over; returns how many."""
    return delete_expired(session, InitialAccessTokenRow, now=now, limit=limit)


def issue_registration_token(
    session: Session, client_id: str, limits: Limits, *, used: str | None = None, now: datetime
) -> str:
    """Make a client's own token. The one `used` for that works until the new one is: its answer may be lost."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = session.get(RegistrationTokenRow, client_id)
    if row is None:
        row = RegistrationTokenRow(client_id=client_id, limits=limits.as_stored())
    # Of one whose answer was lost before, nobody has used the token: it is forgotten, and not the one that works.
    row.earlier_hash = hash_of(used) if used is not None else None
    row.token_hash, row.issued_at = hash_of(token), now
    session.add(row)
    session.flush()
    return token


def find_registration_limits(session: Session, client_id: str, unverified: str) -> Limits | None:
    """Return within which limits this token may change this client; None when it is not this client's."""
    given = hash_of(unverified)
    row = session.scalar(
        select(RegistrationTokenRow).where(
            RegistrationTokenRow.client_id == client_id,
            or_(RegistrationTokenRow.token_hash == given, RegistrationTokenRow.earlier_hash == given),
        )
    )
    return Limits.from_stored(row.limits) if row is not None else None


def settle_registration_token(session: Session, client_id: str, used: str) -> None:
    """Forget the token before the present one, once the present one was used."""
    session.execute(
        update(RegistrationTokenRow)
        .where(
            RegistrationTokenRow.client_id == client_id,
            RegistrationTokenRow.token_hash == hash_of(used),
            RegistrationTokenRow.earlier_hash.is_not(None),
        )
        .values(earlier_hash=None)
    )


def forget_registration_token(session: Session, client_id: str) -> None:
    """Delete a client's own token."""
    session.execute(delete(RegistrationTokenRow).where(RegistrationTokenRow.client_id == client_id))
