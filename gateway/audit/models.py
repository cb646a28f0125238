"""This room's tables: events, the head of the log, what was forgotten, and the counters of noise."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, String, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, identifier, instant, pk


class EventRow(Base):
    """One recorded event. Everything but `leaf_index` is written once; the sequencer alone sets the index, once."""

    __tablename__ = "audit_events"
    __table_args__ = (
        # What the sequencer asks for, several times a second, is always the small rest without an index.
        Index(
            "ix_audit_events_unnumbered",
            "id",
            sqlite_where=text("leaf_index IS NULL"),
            postgresql_where=text("leaf_index IS NULL"),
        ),
        # Partial as well, or SQLite would take it for the question above, and sort the whole backlog each time.
        Index(
            "uq_audit_events_leaf_index",
            "leaf_index",
            unique=True,
            sqlite_where=text("leaf_index IS NOT NULL"),
            postgresql_where=text("leaf_index IS NOT NULL"),
        ),
        Index("ix_audit_events_name_id", "name", "id"),
    )

    id: Mapped[pk]
    leaf_index: Mapped[int | None] = mapped_column(BigInteger)
    occurred_at: Mapped[instant]
    name: Mapped[str] = mapped_column(String(100))
    outcome: Mapped[str] = mapped_column(String(40))
    reference: Mapped[str | None] = mapped_column(String(200), index=True)
    leaf: Mapped[bytes] = mapped_column(LargeBinary)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    subject_tag: Mapped[str] = mapped_column(String(64), index=True)
    """The keyed hash that names the key of `details`; it says nothing without the key directory."""
    key_id: Mapped[bytes] = mapped_column(LargeBinary(16))
    details: Mapped[bytes] = mapped_column(LargeBinary)
    """AES-256-GCM: 12 bytes of nonce, then the encryption of 16 bytes of salt and the details' canonical JSON.

    Empty when nobody has them any more: forgotten as their class says (`key_id` then still tells which key they were
    under), or lost with the database they were in, when a row was made again from the published log (`key_id` is
    empty too).
    """


class LogHeadRow(Base):
    """How far the log has come; exactly one row, made by the migration."""

    __tablename__ = "audit_log_head"
    __table_args__ = (
        CheckConstraint("id = 1", name="single"),
        CheckConstraint("published_size <= size", name="published_is_numbered"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(BigInteger)
    """How many events have an index: 0 to size - 1, without gaps."""
    published_size: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """The root hash at `published_size`; None before the first checkpoint."""
    checkpoint: Mapped[str | None] = mapped_column(Text)
    """The signed note last published."""
    published_at: Mapped[instant | None]
    archived_size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Entries below this are in archives as well; rows of theirs may be gone. A multiple of a tile's width."""


class ForgottenRow(Base):
    """How far the details of one kind of event were forgotten: what is not after this id was looked at."""

    __tablename__ = "audit_forgotten"

    name: Mapped[identifier] = mapped_column(primary_key=True)
    after: Mapped[UUID] = mapped_column(Uuid)


class NoiseRow(Base):
    """How often one source caused one code of unauthenticated noise within one minute."""

    __tablename__ = "audit_noise"

    minute: Mapped[instant] = mapped_column(primary_key=True)
    code: Mapped[identifier] = mapped_column(primary_key=True)
    source_tag: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
