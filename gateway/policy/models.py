"""The policies' table."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from gateway.db import Base, document, instant


class PolicyVersionRow(Base):
    """The texts of schema, rules and lists as they were in force, by their digest."""

    __tablename__ = "policy_versions"

    digest: Mapped[str] = mapped_column(String(100), primary_key=True)
    texts: Mapped[document]
    first_used_at: Mapped[instant]
