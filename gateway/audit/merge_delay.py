"""The promise that every event is published within the merge delay, and what happens while it is broken.

Whoever cannot see a disclosure in the log cannot hold us to it. So while an event waits for longer than was promised
(the log's disk is full, its sequencer stopped, its witnesses are away), nothing more is released that belongs in it.
"""

import time

from gateway.audit.recorded import oldest_unpublished
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import Unavailable

LOOK_EVERY = 0.5  # seconds: how long a good finding is believed at most, so that not every request asks the database
RETRY_AFTER = 5  # seconds


class LogBehind(Unavailable):
    """Events wait for longer than the stated merge delay to be published. Nothing was changed."""

    code = "log_behind"
    title = "The gateway cannot answer now: its log is not being published; nothing was changed"


class MergeDelay:
    """Watches the promise for one process; `seconds` is what was promised. Safe in threads."""

    def __init__(self, database: Database, *, clock: Clock, seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._seconds = seconds
        self._good_until = 0.0  # on `time.monotonic`'s scale

    def check(self) -> None:
        """Raise `LogBehind` while the promise is broken, `DatabaseUnavailable` when that cannot be known."""
        with self._database.read() as session:
            oldest = oldest_unpublished(session)
        left = self._seconds
        if oldest is not None:
            left -= (self._clock.now() - oldest).total_seconds()
        if left < 0:
            raise LogBehind(retry_after=RETRY_AFTER)
        self._good_until = time.monotonic() + min(left, LOOK_EVERY)

    def check_lately(self) -> None:
        """As `check`, except that a good finding holds for half a second, or until the oldest event will be late."""
        if time.monotonic() >= self._good_until:
            self.check()
