"""How many requests a member, and an agreement, may send in a minute: one quota for all workers and nodes.

The count stands in the database, and each worker takes from it a second's share at a time: most requests cost no
question at all, and no more are ever let in than the quota says. What a worker took and did not need is lost when the
minute ends, so that with several workers a quota may be spent a little early (ADR 0036).

Who spends whose quota: a member's is spent by requests whose signature proves that they come from one of its systems;
what is signed by nobody, though it shows a token, spends another of the same size, which is that system's alone. An
agreement's is spent by the systems that it names.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.errors import GatewayError, Kind
from gateway.sharing.exchange.models import QuotaRow

WINDOW = timedelta(minutes=1)
LOTS_A_MINUTE = 60
_KEPT = timedelta(minutes=5)
_FORGET_FROM = 10_000  # owners; members and their systems are fewer by far

_USED = cast("Table", QuotaRow.__table__)


class QuotaExceeded(GatewayError):
    """As many requests came in this minute as the quota allows; nothing was looked at, and nothing changed.

    `told_before`: it stands in the log already that this owner's minute is spent.
    """

    kind = Kind.THROTTLED
    code = "quota_exceeded"
    title = "Too many requests in this minute"

    def __init__(self, spent: "Spent") -> None:
        standing, self.told_before = spent.standing, spent.told_before
        # draft-ietf-httpapi-ratelimit-headers-10 §5.1: the problem's type, and which policies were violated.
        super().__init__(
            f"{standing.quota.whose} may send {standing.quota.per_minute} requests a minute.",
            extensions={
                "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
                "violated-policies": [standing.quota.name],
            },
            retry_after=standing.resets_in,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A quota's name, as answers show it, and how many requests it allows in a minute."""

    name: str
    whose: str
    per_minute: int

    def as_policy(self) -> str:
        """Return the member of the `RateLimit-Policy` field (draft-ietf-httpapi-ratelimit-headers-10 §3)."""
        return f'"{self.name}";q={self.per_minute};w={int(WINDOW.total_seconds())}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a quota stood after a request: how many more there may be in the seconds that are left."""

    quota: Quota
    remaining: int
    resets_in: int

    def as_limit(self) -> str:
        """Return the member of the `RateLimit` field (draft-ietf-httpapi-ratelimit-headers-10 §4)."""
        return f'"{self.quota.name}";r={self.remaining};t={self.resets_in}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The quota allows no more. `told_before`: this process has said so in this window already."""

    standing: Standing
    told_before: bool


@dataclass(slots=True, kw_only=True)
class _Window:
    """What this process knows of one owner's minute. `elsewhere` is what nobody had taken when it last looked."""

    starts_at: datetime
    in_hand: int = 0
    elsewhere: int | None = None
    told: bool = False


class Quotas:
    """Takes requests from quotas; safe to share between threads. Assembles only."""

    def __init__(self, *, database: Database, member_per_minute: int, agreement_per_minute: int) -> None:
        self.member = Quota(name="member", whose="All systems of a member", per_minute=member_per_minute)
        self.agreement = Quota(
            name="agreement", whose="All systems under an agreement", per_minute=agreement_per_minute
        )
        self.unproved = Quota(name="unproved", whose="Whoever shows a token", per_minute=member_per_minute)
        self._database = database
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, str], _Window] = {}

    def fields(self, standings: Sequence[Standing]) -> dict[str, str]:
        """Return the fields that tell of the quotas, and how those stand that were spent on a request."""
        quotas = dict.fromkeys((self.member, self.agreement, *(standing.quota for standing in standings)))
        told = {"RateLimit-Policy": ", ".join(quota.as_policy() for quota in quotas)}
        if standings:
            told["RateLimit"] = ", ".join(standing.as_limit() for standing in standings)
        return told

    def take(self, quota: Quota, owner: str, *, now: datetime, session: Session | None = None) -> Standing | Spent:
        """Take one request from an owner's quota; raises `DatabaseUnavailable` when the count cannot be reached.

        `session` is a write transaction in which the caller stands; without it, one of our own is made when needed.
        """
        starts_at = now.astimezone(UTC).replace(second=0, microsecond=0)
        taken = self._from_hand(quota, owner, starts_at, now)
        if taken is not None:
            return taken
        if session is None:
            with self._database.write() as own:
                return self._from_database(own, quota, owner, starts_at, now)
        return self._from_database(session, quota, owner, starts_at, now)

    def _from_hand(self, quota: Quota, owner: str, starts_at: datetime, now: datetime) -> Standing | Spent | None:
        with self._lock:
            window = self._window(quota, owner, starts_at)
            if window.in_hand > 0:
                window.in_hand -= 1
                return _standing(quota, window, now)
            if window.elsewhere != 0:
                return None
            told, window.told = window.told, True
            return Spent(standing=_standing(quota, window, now), told_before=told)

    def _from_database(
        self, session: Session, quota: Quota, owner: str, starts_at: datetime, now: datetime
    ) -> Standing | Spent:
        size = max(1, quota.per_minute // LOTS_A_MINUTE)
        for lot in dict.fromkeys((size, 1)):
            used = _take_lot(session, f"{quota.name} {owner}", starts_at, lot=lot, most=quota.per_minute)
            if used is None:
                continue
            elsewhere = quota.per_minute - used

            def credit(_session: Session, lot: int = lot, elsewhere: int = elsewhere) -> None:
                # Only now is it ours: what is rolled back was never taken.
                with self._lock:
                    window = self._window(quota, owner, starts_at)
                    if window.starts_at == starts_at:
                        window.in_hand += lot - 1
                        window.elsewhere = elsewhere if window.elsewhere is None else min(elsewhere, window.elsewhere)

            event.listen(session, "after_commit", credit, once=True)
            return _standing(quota, _Window(starts_at=starts_at, in_hand=lot - 1, elsewhere=elsewhere), now)
        with self._lock:
            window = self._window(quota, owner, starts_at)
            if window.starts_at == starts_at:
                window.elsewhere = 0
            told, window.told = window.told, True
        return Spent(standing=_standing(quota, _Window(starts_at=starts_at, elsewhere=0), now), told_before=told)

    def _window(self, quota: Quota, owner: str, starts_at: datetime) -> _Window:
        """Return what is known of this minute, or of a later one where this one is over; called with the lock held."""
        key = (quota.name, owner)
        window = self._windows.get(key)
        if window is None or window.starts_at < starts_at:
            if len(self._windows) >= _FORGET_FROM:
                self._windows = {name: kept for name, kept in self._windows.items() if kept.starts_at >= starts_at}
            window = self._windows[key] = _Window(starts_at=starts_at)
        return window


def _standing(quota: Quota, window: _Window, now: datetime) -> Standing:
    over = window.starts_at + WINDOW
    return Standing(
        quota=quota,
        remaining=window.in_hand + (window.elsewhere or 0),
        resets_in=max(1, math.ceil((over - now).total_seconds())),
    )


def _take_lot(session: Session, scope: str, starts_at: datetime, *, lot: int, most: int) -> int | None:
    """Take a lot from the common count and return how much is used then, or None where so much is not left."""
    values = {"scope": scope, "starts_at": starts_at, "used": lot, "expires_at": starts_at + _KEPT, "most": most}
    connection = session.connection()
    if lot > most:
        return None
    used: int | None = connection.scalar(_TAKE[connection.dialect.name], values)
    return used


def _taking(insert: Any) -> Any:
    made = insert(_USED).values({name: bindparam(name) for name in ("scope", "starts_at", "used", "expires_at")})
    return made.on_conflict_do_update(
        index_elements=[_USED.c.scope, _USED.c.starts_at],
        set_={"used": _USED.c.used + made.excluded.used},
        where=_USED.c.used + made.excluded.used <= bindparam("most"),
    ).returning(_USED.c.used)


# Made once.
_TAKE = {"sqlite": _taking(sqlite.insert), "postgresql": _taking(postgresql.insert)}
