"""The directory's tables."""

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, Instant, identifier, instant, pk

json_list = JSON().with_variant(JSONB, "postgresql")


class MemberRow(Base):
    """An organisation: department, agency, council, shared-service centre or oversight body."""

    __tablename__ = "members"

    code: Mapped[identifier] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(40))
    active: Mapped[bool]
    jwks: Mapped[dict[str, Any]] = mapped_column(json_list)
    created_at: Mapped[instant]


class ClientRow(Base):
    """A member's system: relying party, consumer or provider."""

    __tablename__ = "clients"

    client_id: Mapped[identifier] = mapped_column(primary_key=True)
    member_code: Mapped[identifier] = mapped_column(ForeignKey("members.code"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    kinds: Mapped[list[str]] = mapped_column(json_list)
    active: Mapped[bool]
    jwks: Mapped[dict[str, Any]] = mapped_column(json_list)
    redirect_uris: Mapped[list[str]] = mapped_column(json_list)
    post_logout_redirect_uris: Mapped[list[str]] = mapped_column(json_list)
    grant_types: Mapped[list[str]] = mapped_column(json_list)
    scopes: Mapped[list[str]] = mapped_column(json_list)
    resources: Mapped[list[str]] = mapped_column(json_list)
    account_kinds: Mapped[list[str]] = mapped_column(json_list)
    sector: Mapped[identifier]
    oauth: Mapped[dict[str, Any]] = mapped_column(json_list)
    """`OAuthSettings` as stored: what differs from the defaults."""
    revision: Mapped[str] = mapped_column(String(32))
    """Another one with every change, and never one that was there before, a restored database included."""
    created_at: Mapped[instant]

    __mapper_args__ = {  # noqa: RUF012 - SQLAlchemy declares it
        "version_id_col": revision,
        "version_id_generator": lambda _before: secrets.token_hex(16),
    }


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
