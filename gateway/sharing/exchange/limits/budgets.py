"""How often may be asked about one person: what stops a consumer from probing a threshold with many questions.

Counted is every question for which the provider is asked, whether there was a record or not; a refused one is not,
nor an honest retry, and one that failed is given back. Counting and deciding are one transaction, in which those who
ask about the same person take turns: together they ask no more than the agreement allows.

A person is counted under each name by which they can be found (`subject_names.names_counted`), for all versions of an
agreement together. Whoever names the same person by `sub` has as many questions once more, and no further: were the
two counted together, a spent budget would tell whom a `sub` names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Table, bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from gateway.db import new_id
from gateway.once.expired import BATCH, delete_expired
from gateway.release_lock import take_turns
from gateway.sharing.exchange.models import QueryRow

_ASKED = cast("Table", QueryRow.__table__)
_EARLIER = (
    select(func.count())
    .where(
        _ASKED.c.scope == bindparam("scope"),
        _ASKED.c.subject.in_(bindparam("subjects", expanding=True)),
        _ASKED.c.asked_at > bindparam("since"),
    )
    .group_by(_ASKED.c.subject)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedQuery:
    """The rows that stand for one question, with which it can be given back."""

    rows: tuple[UUID, ...] = ()


def within(asked_at: datetime, *, days: int, now: datetime) -> bool:
    """Tell whether a question of this time still counts: `days` times 24 hours, not days of the calendar."""
    return asked_at > _since(now, days)


def earlier_queries(session: Session, *, agreement: str, subjects: Sequence[str], days: int, now: datetime) -> int:
    """Return how often was asked about this person, under the name asked most often.

    From here to the end of the transaction nobody else counts questions about them under this agreement.
    """
    take_turns(session, [f"queries {agreement} {subject}" for subject in subjects])
    values = {"scope": agreement, "subjects": list(subjects), "since": _since(now, days)}
    return max(session.connection().scalars(_EARLIER, values), default=0)


def record_query(
    session: Session, *, agreement: str, subjects: Sequence[str], days: int, now: datetime
) -> CountedQuery:
    """Count one question about this person."""
    rows = [
        {
            "id": new_id(),
            "scope": agreement,
            "subject": subject,
            "asked_at": now,
            "expires_at": now + timedelta(days=days),
        }
        for subject in subjects
    ]
    if rows:
        session.connection().execute(insert(_ASKED), rows)
    return CountedQuery(rows=tuple(row["id"] for row in rows if isinstance(row["id"], UUID)))


def forget_query(session: Session, counted: CountedQuery) -> None:
    """Give a question back to which nothing came that the provider signed: it told the consumer nothing."""
    if counted.rows:
        session.connection().execute(delete(_ASKED).where(_ASKED.c.id.in_(counted.rows)))


def purge_queries(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` questions that count no more; returns how many."""
    return delete_expired(session, QueryRow, now=now, limit=limit)


def _since(now: datetime, days: int) -> datetime:
    return now - timedelta(days=days)
