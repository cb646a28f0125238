"""Lists of people who object to a use of their records, such as the National Data Opt-out.

An agreement says which lists it heeds. A person stands on a list by keyed hashes of their names (`subject_names`),
never in clear: whoever reads the table learns nobody's name.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import Table, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.release_lock import wait_for_releases
from gateway.sharing.exchange.models import ObjectionRow

_LISTED = cast("Table", ObjectionRow.__table__)
# Made once: every request under an agreement that heeds a list asks this.
_NAMED = (
    select(_LISTED.c.list)
    .where(
        _LISTED.c.list.in_(bindparam("lists", expanding=True)),
        _LISTED.c.subject.in_(bindparam("subjects", expanding=True)),
    )
    .distinct()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectionList:
    """A list, how many names stand on it (a person has one to three), and when the last was added."""

    name: str
    names: int
    changed_at: datetime


def list_lock(name: str) -> str:
    """Return how `release_lock` names a list: whoever adds to it waits for the releases that rest on it."""
    return f"objections {name}"


def objections_of(session: Session, *, subjects: Collection[str], lists: Collection[str]) -> tuple[str, ...]:
    """Return those of these lists on which the person stands under any of these references."""
    if not lists or not subjects:
        return ()
    found = session.connection().scalars(_NAMED, {"lists": list(lists), "subjects": list(subjects)})
    return tuple(sorted(found))


def record_objections(session: Session, name: str, subjects: Sequence[str], *, at: datetime) -> int:
    """Put references on a list; returns how many stood there before. What stands there gets the new time."""
    wait_for_releases(session, list_lock(name))
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    already = session.scalar(
        select(func.count()).select_from(_LISTED).where(_LISTED.c.list == name, _LISTED.c.subject.in_(subjects))
    )
    rows = [{"list": name, "subject": subject, "created_at": at} for subject in sorted(set(subjects))]
    made = insert(_LISTED)
    session.execute(
        made.on_conflict_do_update(
            index_elements=[_LISTED.c.list, _LISTED.c.subject], set_={"created_at": made.excluded.created_at}
        ),
        rows,
    )
    return already or 0


def remove_objections(session: Session, name: str, subjects: Collection[str]) -> int:
    """Take references off a list; returns how many stood there."""
    gone = delete(_LISTED).where(_LISTED.c.list == name, _LISTED.c.subject.in_(subjects)).returning(_LISTED.c.subject)
    return len(session.execute(gone).all())


def remove_objections_before(session: Session, name: str, moment: datetime, *, limit: int) -> int:
    """Take off a list at most `limit` references that were last put on it before this moment; returns how many."""
    old = select(_LISTED.c.subject).where(_LISTED.c.list == name, _LISTED.c.created_at < moment).limit(limit)
    return remove_objections(session, name, session.scalars(old).all())


def list_objection_lists(session: Session) -> tuple[ObjectionList, ...]:
    """Return every list that has anybody on it, by name."""
    grouped = (
        select(ObjectionRow.list, func.count(), func.max(ObjectionRow.created_at))
        .group_by(ObjectionRow.list)
        .order_by(ObjectionRow.list)
    )
    return tuple(ObjectionList(name=name, names=names, changed_at=at) for name, names, at in session.execute(grouped))
