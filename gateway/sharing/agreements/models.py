"""The agreements' tables."""

from datetime import date

from sqlalchemy import Date, ForeignKey, ForeignKeyConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, identifier, instant


class AgreementRow(Base):
    """One version of an agreement.

    `document` is the canonical JSON that the members sign, byte for byte. The other columns find it; what it allows is
    always read from the document, so that changing a column here changes nothing that was not signed.
    """

    __tablename__ = "agreements"
    __table_args__ = (Index("ix_agreements_consumer_service", "consumer", "service"),)

    reference: Mapped[identifier] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    consumer: Mapped[identifier] = mapped_column(ForeignKey("members.code"))
    provider: Mapped[identifier] = mapped_column(ForeignKey("members.code"))
    service: Mapped[identifier] = mapped_column(ForeignKey("services.id"))
    document: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(40))
    superseded_on: Mapped[date | None] = mapped_column(Date)
    """The first day of a later version in force; this one ends on the day before."""
    imported_at: Mapped[instant]
    status_changed_at: Mapped[instant]


class SignatureRow(Base):
    """A member's detached JWS over one version's document."""

    __tablename__ = "agreement_signatures"
    __table_args__ = (ForeignKeyConstraint(["reference", "version"], ["agreements.reference", "agreements.version"]),)

    reference: Mapped[identifier] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    member: Mapped[identifier] = mapped_column(ForeignKey("members.code"), primary_key=True)
    jws: Mapped[str] = mapped_column(Text)
    key_id: Mapped[identifier]
    recorded_at: Mapped[instant]
