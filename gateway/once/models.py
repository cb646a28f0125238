"""The table of what has been used."""

from sqlalchemy import LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, expiry, identifier


class UsedRow(Base):
    """One value of one kind that may not be used again before `expires_at`."""

    __tablename__ = "used_once"

    kind: Mapped[identifier] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    expires_at: Mapped[expiry]
