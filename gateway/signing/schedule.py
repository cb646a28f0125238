"""Keys of the tokens rotated by `gateway work`, and set aside once nothing they signed can live.

Several `work` processes, on several nodes over one keys folder, may do this at once: a key's number is free or taken,
so one of them makes it and the others find it made.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.signing.errors import KeyNotMade
from gateway.signing.key_files import Keeping, Key
from gateway.signing.purposes import ALGORITHMS, Purpose
from gateway.signing.recording import record_added, record_past
from gateway.signing.rotation import (
    add_key,
    finish_setting_aside,
    load_keys,
    past_keys,
    retire_over,
)

log = structlog.get_logger("gateway.signing")

BY = "gateway work"
_RECORDED_WITHIN = timedelta(days=7)
"""How long a change may wait to be recorded: entries from before may be archived, and are not looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySchedule:
    """What `gateway work` does for the keys; `rotation_days` 0: it makes none of its own accord."""

    keys_dir: Path
    keeping: Keeping
    database: Database
    audit: AuditLog
    clock: Clock
    rotation_days: float

    def run_once(self) -> int:
        """Retire what is over, rotate what is due, record what is not recorded; returns how many keys were changed.

        Raises `KeyFileDamaged`, `KeysEncrypted` or `HsmUnavailable`; what was done by then stands, and is not repeated.
        """
        now = self.clock.now()
        finish_setting_aside(self.keys_dir, self.keeping)
        changed = self._retire(now) + self._rotate(now)
        self._record(now)
        return changed

    def _retire(self, now: datetime) -> int:
        retired = retire_over(self.keys_dir, self.keeping, now=now)
        for past in retired:
            log.info("key retired", purpose=Purpose.TOKENS, number=past.number, algorithm=past.jwk["alg"])
        return len(retired)

    def _rotate(self, now: datetime) -> int:
        made = 0
        for algorithm in ALGORITHMS[Purpose.TOKENS]:
            keys = [key for key in load_keys(self.keys_dir, Purpose.TOKENS, self.keeping) if key.algorithm == algorithm]
            if keys and not self._is_due(keys[-1], now):
                continue
            try:
                # An earlier release knew one algorithm only: nothing waits for the others, so they sign at once.
                key = add_key(self.keys_dir, Purpose.TOKENS, algorithm, self.keeping, now=now, at_once=not keys)
            except KeyNotMade:
                continue  # another process was first
            log.info("key rotated", purpose=Purpose.TOKENS, number=key.number, algorithm=algorithm)
            made += 1
        return made

    def _is_due(self, key: Key, now: datetime) -> bool:
        # Of a key from an earlier release, or made by hand, nothing better is known than its file's time.
        made_at = key.made_at or datetime.fromtimestamp(key.path.stat().st_mtime, tz=UTC)
        return bool(self.rotation_days) and made_at + timedelta(days=self.rotation_days) <= now

    def _record(self, now: datetime) -> None:
        since = now - _RECORDED_WITHIN
        added = [
            (purpose, key)
            for purpose in (Purpose.TOKENS, Purpose.EXCHANGE)
            for key in load_keys(self.keys_dir, purpose, self.keeping)
            # The first keys, by `gateway init`, have no entry: there is no log before them.
            if key.signs_from is not None and key.made_at is not None and key.made_at > since
        ]
        gone = [past for past in past_keys(self.keys_dir) if past.at > since]
        if not added and not gone:
            return
        with self.database.write() as session:
            for purpose, key in added:
                record_added(session, self.audit, purpose, key, by=BY, now=now)
            for past in gone:
                record_past(session, self.audit, past, by=BY, now=now)
