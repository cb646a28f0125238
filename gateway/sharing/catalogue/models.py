"""The catalogue's table."""

from sqlalchemy import Float, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, document, identifier, instant


class ServiceRow(Base):
    """A service of a provider."""

    __tablename__ = "services"

    id: Mapped[identifier] = mapped_column(primary_key=True)
    provider: Mapped[identifier] = mapped_column(ForeignKey("members.code"), index=True)
    provider_client: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"), index=True)
    kind: Mapped[str] = mapped_column(String(40))
    title: Mapped[str] = mapped_column(String(200))
    field_schema: Mapped[document]
    match: Mapped[document]
    answer_seconds: Mapped[float] = mapped_column(Float)
    max_answer_bytes: Mapped[int]
    thresholds: Mapped[document | None]
    max_attachment_bytes: Mapped[int | None]
    active: Mapped[bool]
    endpoint: Mapped[str | None] = mapped_column(String(2000))
    recorded_at: Mapped[instant]
