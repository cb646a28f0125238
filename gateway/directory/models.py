"""The directory's tables."""

import secrets
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, identifier, instant

json_list = JSON().with_variant(JSONB, "postgresql")


class MemberRow(Base):
    """An organisation: department, agency, council, shared-service centre or oversight body."""

    __tablename__ = "members"

    code: Mapped[identifier] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(40))
    active: Mapped[bool]
    jwks: Mapped[dict[str, Any]] = mapped_column(json_list)
    functions: Mapped[list[str] | None] = mapped_column(json_list)
    contacts: Mapped[list[dict[str, str]] | None] = mapped_column(json_list)
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
