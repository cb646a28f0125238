"""People about whom nothing may be answered: an objection upheld, a protected record."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.release_lock import wait_for_releases
from gateway.sharing.exchange.models import RestrictionRow

EVERY_SERVICE = "*"


def subject_name(subject: str) -> str:
    """Return how `release_lock` names a person: whoever restricts what is told of them waits for what rests on it."""
    return f"subject {subject}"


def is_restricted(session: Session, *, subject: str, service: str) -> bool:
    """Tell whether this service answers nothing about this person."""
    named = select(RestrictionRow.subject).where(
        RestrictionRow.subject == subject, RestrictionRow.service.in_((service, EVERY_SERVICE))
    )
    return session.execute(named.limit(1)).first() is not None


def record_restriction(session: Session, *, subject: str, service: str = EVERY_SERVICE, at: datetime) -> None:
    """Restrict a person; doing it twice changes nothing."""
    if session.get(RestrictionRow, (subject, service)) is None:
        wait_for_releases(session, subject_name(subject))
        session.add(RestrictionRow(subject=subject, service=service, created_at=at))
        session.flush()
