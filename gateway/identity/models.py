"""This room's tables."""

from datetime import date
from uuid import UUID

from sqlalchemy import JSON, BigInteger, Date, ForeignKey, Integer, LargeBinary, String, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, expiry, identifier, instant, pk

json_list = JSON().with_variant(JSONB, "postgresql")


class AccountRow(Base):
    """A person who can sign in: a citizen, or an officer of a member."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("kind", "email"),)

    account_id: Mapped[pk]
    kind: Mapped[str] = mapped_column(String(20))
    email: Mapped[str] = mapped_column(String(254))
    """Lower case: the same mailbox is the same account however it is typed."""
    email_verified: Mapped[bool]
    given_name: Mapped[str] = mapped_column(String(200))
    family_name: Mapped[str] = mapped_column(String(200))
    birthdate: Mapped[date | None] = mapped_column(Date)
    member_code: Mapped[str | None] = mapped_column(String(200), ForeignKey("members.code"), index=True)
    roles: Mapped[list[str]] = mapped_column(json_list)
    active: Mapped[bool]
    password_hash: Mapped[str] = mapped_column(String(300))
    """Empty for somebody without a password, whom no password lets in."""
    sealed_code_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    last_timecode: Mapped[int | None] = mapped_column(BigInteger)
    """The newest security code that was accepted; it and every older one are refused (RFC 6238 §5.2)."""
    created_at: Mapped[instant]
    updated_at: Mapped[instant]


class SessionRow(Base):
    """One browser's sign-in. The cookie's value is known here only by its hash."""

    __tablename__ = "sign_in_sessions"

    session_id: Mapped[pk]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.account_id"), index=True)
    methods: Mapped[list[str]] = mapped_column(json_list)
    awaiting_code: Mapped[bool]
    """The password was right; nobody is signed in until the security code is."""
    authenticated_at: Mapped[instant]
    idle_until: Mapped[expiry]
    """Never later than `expires_at`: from here on the session is over."""
    expires_at: Mapped[expiry]
    continues: Mapped[UUID | None] = mapped_column(Uuid)
    """The same person's session that goes on, with all that hangs on it, once the security code is right."""


class PairwiseRow(Base):
    """The `sub` by which one sector knows one account; kept so that it can be translated both ways."""

    __tablename__ = "pairwise_subjects"
    __table_args__ = (UniqueConstraint("sector", "sub"),)

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.account_id"), primary_key=True)
    sector: Mapped[identifier] = mapped_column(primary_key=True)
    sub: Mapped[str] = mapped_column(String(64))
    key_version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[instant]


class AttemptsRow(Base):
    """How often something was tried in the window that ends at `expires_at`."""

    __tablename__ = "sign_in_attempts"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    """A keyed hash of what is counted: an e-mail address as typed, an account's codes, a source address."""
    attempts: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[expiry]
