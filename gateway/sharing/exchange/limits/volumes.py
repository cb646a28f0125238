"""How many exchanges an agreement allows in one UTC day: counted exactly, by all workers and nodes together.

Counted are exchanges for which the provider may be asked, in the transaction that opens them; a refused one is given
back, and an honest retry opens none. Where many are allowed and many transactions write side by side, the day's volume
is shared out among several counters: each takes one that nobody holds, so that they need not wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, Update, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.once.expired import BATCH, delete_expired
from gateway.sharing.exchange.models import QuotaRow

COUNTERS = 16
MANY = 1000
"""From this volume on it is shared out: fewer in a whole day hardly meet each other."""
_KEPT = timedelta(days=2)

_USED = cast("Table", QuotaRow.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedExchange:
    """How many exchanges were opened before this one, and on which counter it stands; on none when all are full."""

    before: int
    counter: tuple[str, datetime] | None = None


def count_exchange(session: Session, *, agreement: str, volume: int, now: datetime) -> CountedExchange:
    """Count one exchange of this UTC day, if there is room for it."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    counters = _counters(session, agreement, volume)
    share, larger = divmod(volume, len(counters))
    values = {
        "day": day,
        "share": share,
        "larger": counters[:larger],
        "smaller": counters[larger:],
        "all": counters,
    }
    connection = session.connection()
    row = connection.execute(_ADD_WHERE_NOBODY_IS, values).one_or_none()
    if row is None:
        _make_counters(session, counters, day)
        row = connection.execute(_ADD, values).one_or_none()
    if row is None:
        return CountedExchange(before=volume)
    before = row.used - 1 if len(counters) == 1 else connection.scalar(_SUM, values) - 1
    return CountedExchange(before=before, counter=(row.scope, day))


def count_back(session: Session, counted: CountedExchange) -> None:
    """Give back an exchange that was refused after all."""
    if counted.counter is not None:
        scope, day = counted.counter
        session.connection().execute(_TAKE_BACK, {"of": scope, "day": day})


def purge_windows(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` counters whose time is over, those of quotas too; returns how many."""
    return delete_expired(session, QuotaRow, now=now, limit=limit)


def _counters(session: Session, agreement: str, volume: int) -> Sequence[str]:
    # On SQLite writers take turns anyway.
    shared_out = volume >= MANY and session.get_bind().dialect.name == "postgresql"
    return [f"volume {agreement} {number}" for number in range(COUNTERS if shared_out else 1)]


def _make_counters(session: Session, counters: Sequence[str], day: datetime) -> None:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rows = [{"scope": scope, "starts_at": day, "used": 0, "expires_at": day + _KEPT} for scope in counters]
    session.connection().execute(insert(_USED).on_conflict_do_nothing(), rows)


def _add(*, skip_locked: bool) -> Update:
    """Add one to the first counter with room that can be had; the volume is the sum of their shares."""
    has_room = or_(
        and_(_USED.c.scope.in_(bindparam("larger", expanding=True)), _USED.c.used < bindparam("share") + 1),
        and_(_USED.c.scope.in_(bindparam("smaller", expanding=True)), _USED.c.used < bindparam("share")),
    )
    free = select(_USED.c.scope).where(_USED.c.starts_at == bindparam("day"), has_room).limit(1)
    chosen: Any = free.with_for_update(skip_locked=skip_locked).scalar_subquery()
    return (
        update(_USED)
        .where(_USED.c.starts_at == bindparam("day"), _USED.c.scope == chosen)
        .values(used=_USED.c.used + 1)
        .returning(_USED.c.scope, _USED.c.used)
    )


# Made once: every exchange asks these.
_ADD_WHERE_NOBODY_IS = _add(skip_locked=True)
_ADD = _add(skip_locked=False)
_SUM = select(func.sum(_USED.c.used)).where(
    _USED.c.starts_at == bindparam("day"), _USED.c.scope.in_(bindparam("all", expanding=True))
)
_TAKE_BACK = (
    update(_USED)
    .where(_USED.c.starts_at == bindparam("day"), _USED.c.scope == bindparam("of"))
    .values(used=_USED.c.used - 1)
)
