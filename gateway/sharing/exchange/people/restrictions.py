"""People about whom nothing may be answered: an objection upheld, a protected record."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import cast

from sqlalchemy import Table, bindparam, delete, func, select
from sqlalchemy.orm import Session

from gateway.release_lock import take_turns
from gateway.sharing.exchange.models import RestrictionRow

EVERY_SERVICE = "*"


def subject_name(subject: str) -> str:
    """Return how `release_lock` names a person: whoever restricts what is told of them waits for what rests on it."""
    return f"subject {subject}"


def is_restricted(session: Session, *, subjects: Collection[str], service: str) -> bool:
    """Tell whether this service answers nothing about this person, under any of these references."""
    values = {"subjects": list(subjects), "services": [service, EVERY_SERVICE]}
    return session.connection().scalar(_NAMED, values) is not None


_RESTRICTED = cast("Table", RestrictionRow.__table__)
# Made once: every decision asks this.
_NAMED = (
    select(_RESTRICTED.c.subject)
    .where(
        _RESTRICTED.c.subject.in_(bindparam("subjects", expanding=True)),
        _RESTRICTED.c.service.in_(bindparam("services", expanding=True)),
    )
    .limit(1)
)


def record_restriction(session: Session, *, subject: str, service: str = EVERY_SERVICE, at: datetime) -> None:
    """Restrict a person; doing it twice changes nothing."""
    record_restrictions(session, subjects=(subject,), service=service, at=at)


def record_restrictions(
    session: Session, *, subjects: Iterable[str], service: str = EVERY_SERVICE, at: datetime
) -> None:
    """Restrict a person under each of these references; doing it twice changes nothing."""
    references = sorted(set(subjects))
    take_turns(session, [subject_name(subject) for subject in references])
    for subject in references:
        if session.get(RestrictionRow, (subject, service)) is None:
            session.add(RestrictionRow(subject=subject, service=service, created_at=at))
    session.flush()


def remove_restrictions(session: Session, *, subjects: Collection[str], service: str = EVERY_SERVICE) -> int:
    """Lift a restriction; returns how many references it stood under."""
    gone = (
        delete(RestrictionRow)
        .where(RestrictionRow.subject.in_(subjects), RestrictionRow.service == service)
        .returning(RestrictionRow.subject)
    )
    return len(session.execute(gone).all())


def count_restrictions(session: Session) -> dict[str, int]:
    """Return under how many references people are restricted, by service."""
    counted = select(RestrictionRow.service, func.count()).group_by(RestrictionRow.service)
    rows = session.execute(counted.order_by(RestrictionRow.service)).all()
    return {row[0]: row[1] for row in rows}
