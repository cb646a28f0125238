"""A clock that stands still until it is told to move."""

from datetime import UTC, datetime, timedelta

MIDDAY = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class FrozenClock:
    """A `gateway.clock.Clock` showing `now` (aware, UTC) until `advance` is called."""

    def __init__(self, now: datetime = MIDDAY) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, **by: float) -> datetime:
        """Move on, as `advance(seconds=61)` or `advance(days=1)`; the new time."""
        self._now += timedelta(**by)
        return self._now
