"""The promise that every event is published within the merge delay, and what happens while it is broken.

Whoever cannot see a disclosure in the log cannot hold us to it. So while an event waits for longer than was promised
(the log's disk is full, its sequencer stopped, its witnesses are away), nothing more is released that belongs in it.
Nor is anything over a database that is older than what was published: it is a copy that was put back, in which what was
suspended since may be in force again.
"""

import time
from pathlib import Path

from gateway.audit.models import LogHeadRow
from gateway.audit.recorded import oldest_unpublished
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import Unavailable
from gateway.wire.errors import InvalidNote
from gateway.wire.notes import parse_checkpoint

LOOK_EVERY = 0.5  # seconds: how long a good finding is believed at most, so that not every request asks the database
RETRY_AFTER = 5  # seconds


class LogBehind(Unavailable):
    """Events wait for longer than the stated merge delay to be published. Nothing was changed."""

    code = "log_behind"
    title = "The gateway cannot answer now: its log is not being published; nothing was changed"


class DatabaseOlderThanLog(LogBehind):
    """The database holds fewer entries than were published: an old copy, not brought forward. Nothing was changed."""

    code = "database_older_than_log"
    title = "The gateway cannot answer now: its database is older than its log; nothing was changed"


class MergeDelay:
    """Watches the promise for one process; `seconds` is what was promised. Safe in threads."""

    def __init__(self, database: Database, *, log_dir: Path, clock: Clock, seconds: float) -> None:
        self._database = database
        self._files = TileFiles(directory=log_dir)
        self._clock = clock
        self._seconds = seconds
        self._good_until = 0.0  # on `time.monotonic`'s scale

    def check(self) -> None:
        """Raise `LogBehind` while the promise is broken, `DatabaseUnavailable` when that cannot be known.

        Raises `DatabaseOlderThanLog` when the database is an old copy.
        """
        # In this order: entries are numbered before they are published.
        published = self._published_size()
        with self._database.read() as session:
            head = session.get_one(LogHeadRow, 1)
            numbered, recorded = head.size, head.published_size
            oldest = oldest_unpublished(session)
        if published is None and recorded:
            # Without it nobody can tell whether the database is an old copy, and nothing more is published.
            raise LogBehind(
                detail=f"{recorded} entries were published, and there is no checkpoint", retry_after=RETRY_AFTER
            )
        if published is not None and numbered < published:
            raise DatabaseOlderThanLog(detail=f"{numbered} entries, {published} published", retry_after=RETRY_AFTER)
        left = self._seconds
        if oldest is not None:
            left -= (self._clock.now() - oldest).total_seconds()
        if left < 0:
            raise LogBehind(retry_after=RETRY_AFTER)
        self._good_until = time.monotonic() + min(left, LOOK_EVERY)

    def _published_size(self) -> int | None:
        # Only the sequencer and readers outside need the signature: here nothing is believed but a reason to stop.
        try:
            note = self._files.read(CHECKPOINT) or b""
            return parse_checkpoint(note.decode().partition("\n\n")[0] + "\n").size
        except (OSError, UnicodeDecodeError, InvalidNote):
            return None

    def check_lately(self) -> None:
        """As `check`, except that a good finding holds for half a second, or until the oldest event will be late."""
        if time.monotonic() >= self._good_until:
            self.check()
