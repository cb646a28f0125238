"""Each question once: which nonces were seen, in one process's memory or in a file that several processes share."""

import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

NONCE_KEPT = timedelta(minutes=2)
"""Longer than a signature could be accepted (60 seconds old, 5 ahead)."""


class Nonces(Protocol):
    """Remembers what was seen. Several processes that answer for one provider must share one."""

    def first_use(self, nonce: str, *, now: datetime) -> bool:
        """Tell whether this nonce is new, and remember it."""
        ...


class SeenNonces:
    """Nonces in memory; safe in the threads of one process."""

    def __init__(self) -> None:
        self._seen: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def first_use(self, nonce: str, *, now: datetime) -> bool:
        """Tell whether this nonce is new, and remember it."""
        with self._lock:
            # Insertion order is order of expiry, so only the front can be over.
            while self._seen and next(iter(self._seen.values())) < now:
                del self._seen[next(iter(self._seen))]
            if nonce in self._seen:
                return False
            self._seen[nonce] = now + NONCE_KEPT
            return True


class SharedNonces:
    """Nonces in an SQLite file: safe in threads, and in the processes of one machine.

    A file that cannot be written raises `sqlite3.Error` or `OSError`, and the question is not answered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def first_use(self, nonce: str, *, now: datetime) -> bool:
        """Tell whether this nonce is new, and remember it."""
        self._path.touch(mode=0o600)
        with closing(sqlite3.connect(self._path, timeout=10.0)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS nonces (nonce TEXT PRIMARY KEY, expires REAL NOT NULL)")
            database.execute("CREATE INDEX IF NOT EXISTS nonces_expires ON nonces (expires)")
            database.execute("DELETE FROM nonces WHERE expires < ?", (now.timestamp(),))
            counted = database.execute(
                "INSERT OR IGNORE INTO nonces VALUES (?, ?)", (nonce, (now + NONCE_KEPT).timestamp())
            )
            return counted.rowcount == 1
