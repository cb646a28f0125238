"""Rows whose time is over, deleted a batch at a time while everybody else goes on.

A batch is chosen by the index on the expiry, oldest first, and locked before it is deleted: what another transaction
holds (one that puts the expiry off, or another process that purges) is left for the next time. So nobody is waited
for, no row is deleted that just got more time, and none is counted twice.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias, cast

from sqlalchemy import ColumnElement, Table, and_, delete, or_, select
from sqlalchemy.orm import Session

from gateway.db import Base

BATCH = 500
"""Rows of one transaction. On the embedded database every other writer waits for it: some hundredths of a second."""

Keys: TypeAlias = Sequence[tuple[Any, ...]]
"""Primary keys, each with its columns in the table's order."""


def delete_expired(
    session: Session, of: type[Base], *spared: ColumnElement[bool], now: datetime, limit: int = BATCH
) -> int:
    """Delete at most `limit` rows whose `expires_at` is before `now`; returns how many.

    `spared` are further conditions. Rows that go by a cascade count for nothing here, so a table with such rows names
    the condition that there are none: they have an expiry, and a batch, of their own.
    """
    table = cast("Table", of.__table__)
    expiry = table.c.expires_at
    found = lock_oldest(session, of, expiry < now, *spared, by=expiry, limit=limit)
    if found:
        session.execute(delete(table).where(is_one_of(table, found)))
    return len(found)


def lock_oldest(session: Session, of: type[Base], *conditions: ColumnElement[bool], by: Any, limit: int) -> Keys:
    """Return the keys of at most `limit` rows, locked until the transaction ends; what others hold is left out."""
    table = cast("Table", of.__table__)
    chosen = select(*table.primary_key).where(*conditions).order_by(by).limit(limit)
    return [tuple(row) for row in session.execute(chosen.with_for_update(skip_locked=True, of=table))]


def is_one_of(table: Table, keys: Keys) -> ColumnElement[bool]:
    """Return the condition that a row has one of these keys, in the form for which both databases use the key's index.

    For a list of whole keys of several columns SQLite reads the table from end to end. So they are told by their first
    columns, which have few values among many keys, and for each of these by a list of the last.
    """
    *leading, last = table.primary_key
    ends: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for *front, end in keys:
        ends[tuple(front)].append(end)
    return or_(
        *(
            and_(*(column == value for column, value in zip(leading, front, strict=True)), last.in_(found))
            for front, found in ends.items()
        )
    )
