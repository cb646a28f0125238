"""Details shown to somebody: the entry that says so is committed first, in every way in which they can be seen.

Nothing else may call `AuditLog.details_of` or `opening_of` to show what they return; a test holds the code to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.errors import DetailsErased, DetailsExpired, DetailsLost, EventNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Details of one event, or why nobody can read them: `state` is "kept", "erased", "expired" or "lost"."""

    state: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    salt: bytes = field(default=b"", repr=False)
    """With which the leaf commits to the values."""


class Reader:
    """Opens details for whoever has just been recorded as reading them; made by `account_for`."""

    def __init__(self, audit_log: AuditLog) -> None:
        self._audit_log = audit_log

    def read(self, session: Session, event_id: UUID) -> Details:
        """Return an event's details, or why there are none; raises `DetailsAltered` when they are not what was said."""
        try:
            salt, values = self._audit_log.opening_of(session, event_id)
            return Details(state="kept", values=values, salt=salt)
        except DetailsErased:
            return Details(state="erased")
        except DetailsExpired:
            return Details(state="expired")
        except (DetailsLost, EventNotFound):
            # A row of an archived range is gone with whatever details it still had.
            return Details(state="lost")


def account_for(audit_log: AuditLog, reading: Event, *, at: datetime) -> Reader:
    """Record who is about to read what, durably, and return what opens it; raises what `AuditLog.record` raises."""
    audit_log.record(reading, at=at)
    # Durable: from here the reading is accounted for.
    return Reader(audit_log)
