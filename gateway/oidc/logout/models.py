"""The table of who knows which session."""

from uuid import UUID

from sqlalchemy import ForeignKey, String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, identifier, instant


class ClientSessionRow(Base):
    """One client that was given tokens in one browser's session: whom to tell when that ends. Goes with the session."""

    __tablename__ = "client_sessions"

    session_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    client_id: Mapped[identifier] = mapped_column(ForeignKey("clients.client_id"), primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.account_id"))
    sid: Mapped[str] = mapped_column(String(64))
    """By which this client, and no other, knows the session (OIDC Back-Channel Logout 1.0 §2.1)."""
    began_at: Mapped[instant]
