"""Taking back what was given, and forgetting what is over."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow
from gateway.once.expired import BATCH, delete_expired


def revoke_family(session: Session, authorization_id: UUID, *, now: datetime) -> None:
    """Revoke every token that came, or could come, of one authorization: all ask for it when they are used."""
    session.execute(
        update(AuthorizationRow)
        .where(AuthorizationRow.authorization_id == authorization_id, AuthorizationRow.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def revoke_sessions(session: Session, session_ids: Sequence[UUID], *, now: datetime) -> None:
    """Take back what was given in sessions that are over (OIDC Back-Channel Logout 1.0 §2.7).

    What was given for offline use goes on, from its next refresh; all else is revoked, with codes nobody has redeemed.
    """
    given = (AuthorizationRow.session_id.in_(session_ids), AuthorizationRow.revoked_at.is_(None))
    not_offline = or_(AuthorizationRow.offline.is_(False), AuthorizationRow.redeemed_at.is_(None))
    session.execute(update(AuthorizationRow).where(*given, not_offline).values(revoked_at=now))
    offline = select(AuthorizationRow.authorization_id).where(*given)
    session.execute(delete(AccessTokenRow).where(AccessTokenRow.authorization_id.in_(offline)))


def revoke_person(session: Session, account_id: UUID, *, now: datetime) -> None:
    """Take back everything that any client was given for a person, for offline use too."""
    session.execute(
        update(AuthorizationRow)
        .where(AuthorizationRow.account_id == account_id, AuthorizationRow.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def purge_access_tokens(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` access tokens whose time is over; returns how many."""
    # One that others were made from goes after them: none of them lives longer, and they would all go at once with it.
    made = aliased(AccessTokenRow)
    none_made_from_it = ~exists().where(made.made_from == AccessTokenRow.token_hash)
    return delete_expired(session, AccessTokenRow, none_made_from_it, now=now, limit=limit)


def purge_refresh_tokens(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` refresh tokens whose family is over; returns how many."""
    return delete_expired(session, RefreshTokenRow, now=now, limit=limit)


def purge_authorizations(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` authorizations whose code was never used, or whose tokens are all gone; returns how many.

    A family may have made thousands of tokens. They are over before it is, and go in batches of their own.
    """
    no_tokens = (
        ~exists().where(token.authorization_id == AuthorizationRow.authorization_id)
        for token in (AccessTokenRow, RefreshTokenRow)
    )
    return delete_expired(session, AuthorizationRow, *no_tokens, now=now, limit=limit)
