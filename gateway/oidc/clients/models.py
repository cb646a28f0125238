"""What registration keeps: secrets and tokens by their hashes, and the keys fetched from clients' addresses."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, Instant, expiry, identifier, instant, pk

json_value = JSON().with_variant(JSONB, "postgresql")


class ClientSecretRow(Base):
    """One secret of a client that, as an exception, authenticates with secrets. Two may work for a while."""

    __tablename__ = "client_secrets"

    secret_id: Mapped[pk]
    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    """HMAC-SHA-256 under a key outside the database."""
    created_at: Mapped[instant]
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    """None: until it is rotated."""


class InitialAccessTokenRow(Base):
    """A permission to register so many clients of one member (RFC 7591 §3)."""

    __tablename__ = "initial_access_tokens"

    token_id: Mapped[pk]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    member_code: Mapped[identifier] = mapped_column(ForeignKey("members.code"))
    limits: Mapped[dict[str, Any]] = mapped_column(json_value)
    """What a client registered with it may at most have."""
    uses_left: Mapped[int]
    issued_at: Mapped[instant]
    issued_by: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[expiry]


class RegistrationTokenRow(Base):
    """A client's own permission to read, change and end its registration (RFC 7592)."""

    __tablename__ = "registration_access_tokens"

    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    earlier_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), unique=True)
    """Of the token before, which works until the present one was used: the answer that brought it may be lost."""
    limits: Mapped[dict[str, Any]] = mapped_column(json_value)
    issued_at: Mapped[instant]


class KeySetRow(Base):
    """The keys last fetched from a client's `jwks_uri`, and when that was last tried."""

    __tablename__ = "client_key_sets"

    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"), primary_key=True)
    jwks_uri: Mapped[str] = mapped_column(Text)
    keys: Mapped[list[dict[str, Any]]] = mapped_column(json_value)
    fetched_at: Mapped[datetime | None] = mapped_column(Instant)
    """When these keys came; None when none ever did."""
    fresh_until: Mapped[datetime | None] = mapped_column(Instant)
    attempted_at: Mapped[instant]
    """When somebody last began to fetch: the next begins no sooner than a minute later."""
    failure: Mapped[str | None] = mapped_column(String(200))
    """What was wrong at the last attempt, in our own words; None when nothing was."""
