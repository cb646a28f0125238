"""This room's tables. No code and no token is kept: only hashes of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, Instant, expiry, identifier, instant, pk

json_list = JSON().with_variant(JSONB, "postgresql")


def _index_where(column: str, kept: str) -> Index:
    """Return an index of the few rows that have something to be found by."""
    return Index(None, column, sqlite_where=text(kept), postgresql_where=text(kept))


class AuthorizationRow(Base):
    """What one person authorised one client to have: its code, and the family of every token that came of it."""

    __tablename__ = "authorizations"

    authorization_id: Mapped[pk]
    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"))
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.account_id"), index=True)
    session_id: Mapped[UUID] = mapped_column(Uuid, index=True)
    redirect_uri: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    resources: Mapped[list[str]] = mapped_column(json_list)
    nonce: Mapped[str | None] = mapped_column(Text)
    code_challenge: Mapped[str] = mapped_column(String(128))
    """Empty for a client that is exempt from PKCE by name."""
    dpop_jkt: Mapped[str | None] = mapped_column(String(64))
    """The thumbprint (RFC 7638) of the key to which the code is bound (RFC 9449 §10)."""
    claims: Mapped[dict[str, Any] | None] = mapped_column(json_list)
    """The `claims` parameter as understood (OIDC Core §5.5)."""
    offline: Mapped[bool]
    """Whether its refresh tokens outlive the session (`offline_access`)."""
    acr: Mapped[str] = mapped_column(String(20))
    methods: Mapped[list[str]] = mapped_column(json_list)
    auth_time: Mapped[instant]
    issued_at: Mapped[instant]
    code_expires_at: Mapped[instant]
    redeemed_at: Mapped[datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)
    expires_at: Mapped[expiry]
    """When the last token of the family can no longer live."""


class AccessTokenRow(Base):
    """An access token that was issued; one without a row is refused, so deleting the row takes the token back."""

    __tablename__ = "access_tokens"
    __table_args__ = (_index_where("made_from", "made_from IS NOT NULL"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    """Of the token's `jti`."""
    authorization_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("authorizations.authorization_id", ondelete="CASCADE"), index=True
    )
    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"))
    made_from: Mapped[bytes | None] = mapped_column(
        LargeBinary(32), ForeignKey("access_tokens.token_hash", ondelete="CASCADE")
    )
    """The token that was exchanged for this one (RFC 8693), and with which it goes."""
    expires_at: Mapped[expiry]


class RefreshTokenRow(Base):
    """A refresh token; used once, then kept until its family ends so that a second use is noticed."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (_index_where("used_at", "sealed_answer IS NOT NULL"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    authorization_id: Mapped[UUID] = mapped_column(
        ForeignKey("authorizations.authorization_id", ondelete="CASCADE"), index=True
    )
    issued_at: Mapped[instant]
    used_at: Mapped[datetime | None] = mapped_column(Instant)
    request_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """Of the request that used it: the very same one, sent again at once, gets the same answer."""
    sealed_answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    """That answer, opened by the token itself alone, for a short while."""
    expires_at: Mapped[expiry]


class ClientSessionRow(Base):
    """One client that was given tokens in one browser's session: whom to tell when that ends. Goes with the session."""

    __tablename__ = "client_sessions"

    session_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"), primary_key=True)
    sid: Mapped[str] = mapped_column(String(64))
    """By which this client, and no other, knows the session."""
    sub: Mapped[str] = mapped_column(String(64))
    """By which its sector knows the person."""
    began_at: Mapped[instant]


class PushedRequestRow(Base):
    """A request that a client pushed (RFC 9126); the authorization that uses it deletes it."""

    __tablename__ = "pushed_requests"

    reference_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    """Of the `request_uri`."""
    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Its parameters, which may name a person; opened by the `request_uri` alone."""
    usable_until: Mapped[instant]
    """Until when a browser may arrive with it."""
    expires_at: Mapped[expiry]
    """Until when a browser that arrived in time may come back from its sign-in."""
