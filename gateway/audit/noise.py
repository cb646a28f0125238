"""Unauthenticated noise (scans, bad client ids) is counted: one entry a minute per source and code, with a ceiling.

A flood therefore costs the log a bounded number of entries, from however many addresses it comes.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.audit.models import NoiseRow

ENTRIES_A_MINUTE = 300
"""Of what strangers can cause and the log still tells one by one, at most so many entries a minute; all is counted."""
MAX_SOURCES = 64
"""How many sources are told apart within one minute and code; the rest are counted together as one."""
EVERYONE_ELSE = "everyone-else"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseCount:
    """What one source did within one minute that is over. `source` is its keyed hash, or `EVERYONE_ELSE`."""

    minute: datetime
    code: str
    source: str
    count: int


def network_of(source: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 that one IPv6 subscriber commands."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else source  # noqa: PLR2004


def count_one(session: Session, *, source_tag: str, code: str, at: datetime) -> int:
    """Count one request in the caller's transaction; returns how many this minute has seen of this code."""
    minute = at.replace(second=0, microsecond=0)
    known = session.get(NoiseRow, {"minute": minute, "code": code, "source_tag": source_tag}) is not None
    if not known:
        of_minute = select(func.count()).where(NoiseRow.minute == minute, NoiseRow.code == code)
        if (session.scalar(of_minute) or 0) >= MAX_SOURCES:
            source_tag = EVERYONE_ELSE
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    counted = insert(NoiseRow).values(minute=minute, code=code, source_tag=source_tag, count=1)
    # The row may have been made by someone else meanwhile: counting is one statement.
    session.execute(
        counted.on_conflict_do_update(
            index_elements=[NoiseRow.minute, NoiseRow.code, NoiseRow.source_tag],
            set_={"count": NoiseRow.count + 1},
        )
    )
    seen = select(func.sum(NoiseRow.count)).where(NoiseRow.minute == minute, NoiseRow.code == code)
    return int(session.scalar(seen) or 0)


def take_finished(session: Session, *, now: datetime, limit: int) -> tuple[NoiseCount, ...]:
    """Remove and return at most `limit` counts of minutes that are over, in the caller's transaction."""
    columns = (NoiseRow.minute, NoiseRow.code, NoiseRow.source_tag)
    this_minute = now.replace(second=0, microsecond=0)
    over = select(*columns).where(NoiseRow.minute < this_minute).order_by(*columns).limit(limit)
    taken = session.execute(delete(NoiseRow).where(tuple_(*columns).in_(over)).returning(*columns, NoiseRow.count))
    return tuple(
        NoiseCount(minute=minute, code=code, source=source, count=count)
        for minute, code, source, count in sorted(taken)
    )
