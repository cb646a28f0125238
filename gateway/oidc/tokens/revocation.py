"""Taking back what was given, and forgetting what is over."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow


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


def purge_tokens(session: Session, *, now: datetime, limit: int = 1000) -> int:
    """Delete at most `limit` rows of each kind whose time is over; returns how many in all."""
    gone = 0
    for row, key in (
        (AccessTokenRow, AccessTokenRow.token_hash),
        (RefreshTokenRow, RefreshTokenRow.token_hash),
        (AuthorizationRow, AuthorizationRow.authorization_id),
    ):
        over = select(key).where(row.expires_at < now).limit(limit)
        gone += len(session.execute(delete(row).where(key.in_(over)).returning(key)).all())
    return gone
