"""The table of what is to be delivered."""

from datetime import datetime

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, Instant, document, identifier, instant, pk


class DeliveryRow(Base):
    """Something to be delivered to one recipient, and how far that has come."""

    __tablename__ = "outbox_deliveries"
    # One index answers every question: what is due for whom, the next for one recipient, what is dead.
    __table_args__ = (Index(None, "state", "recipient", "due_at"),)

    delivery_id: Mapped[pk]
    kind: Mapped[str] = mapped_column(String(60))
    recipient: Mapped[identifier]
    """Whom it is for: a client's id. Deliveries to one recipient never hold up another's."""
    payload: Mapped[document]
    """References from which the handler makes what is sent; emptied once that is over."""
    state: Mapped[str] = mapped_column(String(12))
    attempts: Mapped[int] = mapped_column(Integer)
    """How often it was claimed. Also the number of the claim at hand: an older claim can no longer settle anything."""
    attempts_allowed: Mapped[int] = mapped_column(Integer)
    """After how many it is given up; an operator who retries it allows as many again."""
    due_at: Mapped[instant]
    """When it may be claimed; of a claimed one, when its lease ends."""
    created_at: Mapped[instant]
    reason: Mapped[str | None] = mapped_column(String(200))
    """Why the last attempt failed, in our own words."""
    settled_at: Mapped[datetime | None] = mapped_column(Instant)
    expires_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    """When a settled row is purged; a waiting one never is."""
