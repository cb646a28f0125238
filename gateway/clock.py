"""The one place that looks at the time. Everywhere else `now` arrives as an argument, always UTC."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time: an aware `datetime` in UTC."""

    def now(self) -> datetime:
        """Return the present instant."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant, UTC."""
        return datetime.now(UTC)


class SteadyClock:
    """A clock that a step forwards does not move: it shows the time at its making plus the time that ran since.

    Where the other clock shows less, that is shown. For what is irrevocable once its time is over: were the claims to
    nonces purged because a clock jumped, a request could be replayed as soon as the clock is right again.
    """

    def __init__(self, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._made_at, self._made_on = clock.now(), monotonic()

    def now(self) -> datetime:
        """Return an instant that is never later than the present one."""
        ran = timedelta(seconds=self._monotonic() - self._made_on)
        return min(self._clock.now(), self._made_at + ran)


def rfc3339(instant: datetime) -> str:
    """Write an aware instant as RFC 3339 in UTC, to the millisecond, with `Z` (`2026-11-23T09:30:00.000Z`)."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 instant with an offset; raises `ValueError` when it has none."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        message = "an instant needs an offset from UTC"
        raise ValueError(message)
    return instant.astimezone(UTC)
