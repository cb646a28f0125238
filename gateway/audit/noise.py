"""Unauthenticated noise (scans, bad client ids) is counted: one entry a minute per source and code, with a ceiling.

A flood therefore costs the log a bounded number of entries, from however many addresses it comes.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Insert, Table, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.audit.models import NoiseRow

ENTRIES_A_MINUTE = 300
"""Of what strangers can cause and the log still tells one by one, at most so many entries a minute; all is counted."""
MAX_SOURCES = 64
"""How many sources are told apart within one minute and code; the rest are counted together as one.

On PostgreSQL, transactions that reach it side by side may each add one more.
"""
EVERYONE_ELSE = "everyone-else"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseCount:
    """What one source did within one minute that is over. `source` is its keyed hash, or `EVERYONE_ELSE`."""

    minute: datetime
    code: str
    source: str
    count: int


_TABLE = cast("Table", NoiseRow.__table__)


def _counting(insert: Callable[[Table], Any]) -> Insert:
    """The row may have been made by someone else meanwhile: counting is one statement."""
    counted = insert(_TABLE)
    more: Insert = counted.on_conflict_do_update(
        index_elements=[_TABLE.c.minute, _TABLE.c.code, _TABLE.c.source_tag],
        set_={"count": _TABLE.c["count"] + counted.excluded["count"]},
    )
    return more


# Made once: a flood should not make them each time.
_COUNTING = {"sqlite": _counting(sqlite.insert), "postgresql": _counting(postgresql.insert)}
_SOURCES = select(_TABLE.c.source_tag).where(
    _TABLE.c.minute == bindparam("of_minute"), _TABLE.c.code == bindparam("of_code")
)


class Noise(NamedTuple):
    """One unauthenticated request: the minute it came in, what was wrong with it, and the keyed hash of its source."""

    minute: datetime
    code: str
    source_tag: str


def minute_of(at: datetime) -> datetime:
    """Return the beginning of the minute."""
    return at.replace(second=0, microsecond=0)


def network_of(source: str) -> str:
    """Return what counts as one source: an IPv4 address, or the /64 that one IPv6 subscriber commands."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    # A socket for both families shows IPv4 visitors so: as one network, any of them could use up the others' attempts.
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)  # noqa: PLR2004


def count_one(session: Session, noise: Noise) -> int:
    """Count one request in the caller's transaction; returns how many this minute has seen of this code."""
    count_all(session.connection(), [noise])
    seen = select(func.sum(NoiseRow.count)).where(NoiseRow.minute == noise.minute, NoiseRow.code == noise.code)
    return int(session.scalar(seen) or 0)


def count_all(connection: Connection, noises: Iterable[Noise]) -> None:
    """Count requests in the caller's transaction."""
    known: dict[tuple[datetime, str], set[str]] = {}
    totals: Counter[Noise] = Counter()
    for noise, times in Counter(noises).items():
        sources = known.get(noise[:2])
        if sources is None:
            of_minute = {"of_minute": noise.minute, "of_code": noise.code}
            sources = known[noise[:2]] = set(connection.scalars(_SOURCES, of_minute))
        told_apart = noise.source_tag in sources or len(sources) < MAX_SOURCES
        source_tag = noise.source_tag if told_apart else EVERYONE_ELSE
        sources.add(source_tag)
        totals[noise._replace(source_tag=source_tag)] += times
    # In one order everywhere, so that two processes which count the same sources do not wait for each other in a ring.
    rows = [{**noise._asdict(), "count": times} for noise, times in sorted(totals.items())]
    connection.execute(_COUNTING[connection.dialect.name], rows)


def take_finished(session: Session, *, now: datetime, limit: int) -> tuple[NoiseCount, ...]:
    """Remove and return at most `limit` counts of minutes that are over, in the caller's transaction."""
    columns = (NoiseRow.minute, NoiseRow.code, NoiseRow.source_tag)
    over = select(*columns).where(NoiseRow.minute < minute_of(now)).order_by(*columns).limit(limit)
    taken = session.execute(delete(NoiseRow).where(tuple_(*columns).in_(over)).returning(*columns, NoiseRow.count))
    return tuple(
        NoiseCount(minute=minute, code=code, source=source, count=count)
        for minute, code, source, count in sorted(taken)
    )
