"""The exchange's tables."""

from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, expiry, identifier, instant, pk

json_value = JSON().with_variant(JSONB, "postgresql")


class ExchangeRow(Base):
    """One request and its outcome. Holds no value of any record in the clear."""

    __tablename__ = "exchanges"
    __table_args__ = (
        Index(
            "ix_exchanges_open",
            "lease_until",
            postgresql_where=text("state = 'open'"),
            sqlite_where=text("state = 'open'"),
        ),
        Index(
            "ix_exchanges_kept_answers",
            "answer_until",
            postgresql_where=text("answer IS NOT NULL"),
            sqlite_where=text("answer IS NOT NULL"),
        ),
    )

    id: Mapped[pk]
    state: Mapped[str] = mapped_column(String(20))
    retry_mac: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    client_id: Mapped[identifier]
    consumer: Mapped[identifier]
    provider: Mapped[str | None] = mapped_column(String(200))
    officer_account: Mapped[UUID | None] = mapped_column(Uuid)
    service: Mapped[identifier]
    purpose: Mapped[identifier]
    agreement: Mapped[str | None] = mapped_column(String(200))
    agreement_version: Mapped[int | None]
    legal_gateway: Mapped[str | None] = mapped_column(String(200))
    policy_digest: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(200))
    subject_sub: Mapped[str | None] = mapped_column(String(255))
    handle: Mapped[str] = mapped_column(String(64))
    requested_fields: Mapped[list[str]] = mapped_column(json_value)
    decision: Mapped[str] = mapped_column(String(10))
    decision_record: Mapped[dict[str, Any]] = mapped_column(json_value)
    rules: Mapped[list[dict[str, str]]] = mapped_column(json_value)
    fields_disclosed: Mapped[list[str]] = mapped_column(json_value)
    fields_withheld: Mapped[list[str]] = mapped_column(json_value)
    opened_at: Mapped[instant] = mapped_column(index=True)
    lease_until: Mapped[instant]
    closed_at: Mapped[instant | None]
    receipt: Mapped[str | None] = mapped_column(Text)
    answer_status: Mapped[int | None]
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    answer_until: Mapped[instant | None]
    provider_jwt: Mapped[str | None] = mapped_column(Text)
    """What the provider signed: digests of fields, no value."""
    provider_jwk: Mapped[dict[str, Any] | None] = mapped_column(json_value)
    """The public key with which it was verified."""
    checks_jwt: Mapped[str | None] = mapped_column(Text)
    """What the gateway signed where it computed checks: digests, no value."""
    client_key: Mapped[str | None] = mapped_column(String(200))
    """The RFC 7638 thumbprint of the key that signed the request."""
    match_level: Mapped[str | None] = mapped_column(String(20))


class AttachmentRow(Base):
    """A large part of an answer, waiting encrypted in the spool to be fetched once."""

    __tablename__ = "exchange_attachments"

    exchange: Mapped[UUID] = mapped_column(Uuid, ForeignKey("exchanges.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    field: Mapped[identifier]
    digest: Mapped[str] = mapped_column(String(64))
    """Sealed by the spool: the digest itself would tell whoever reads the database and has guessed the document."""
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[identifier]
    claimed_by: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    claimed_at: Mapped[instant | None]
    expires_at: Mapped[expiry]


class QueryRow(Base):
    """One question about a person that a budget counts; `scope` says under which agreement."""

    __tablename__ = "subject_queries"
    __table_args__ = (Index("ix_subject_queries_scope_subject", "scope", "subject"),)

    id: Mapped[pk]
    scope: Mapped[identifier]
    subject: Mapped[identifier]
    asked_at: Mapped[instant]
    expires_at: Mapped[expiry]


class QuotaRow(Base):
    """How much of a quota is used in one window of time."""

    __tablename__ = "quota_windows"

    scope: Mapped[identifier] = mapped_column(primary_key=True)
    starts_at: Mapped[instant] = mapped_column(primary_key=True)
    used: Mapped[int]
    expires_at: Mapped[expiry]


class ObjectionRow(Base):
    """A person on a list of objections."""

    __tablename__ = "subject_objections"

    list: Mapped[identifier] = mapped_column(primary_key=True)
    subject: Mapped[identifier] = mapped_column(primary_key=True)
    created_at: Mapped[instant]


class RestrictionRow(Base):
    """A person about whom a service (or, with `*`, every service) answers nothing."""

    __tablename__ = "subject_restrictions"

    subject: Mapped[identifier] = mapped_column(primary_key=True)
    service: Mapped[identifier] = mapped_column(primary_key=True)
    created_at: Mapped[instant]
