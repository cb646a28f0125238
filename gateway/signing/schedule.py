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
    make_missing_keys,
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
        # An earlier release knew one algorithm only; nothing waits for these, so they sign at once.
        made = len(make_missing_keys(self.keys_dir, self.keeping, now=now))
        for algorithm in ALGORITHMS[Purpose.TOKENS] if self.rotation_days else ():
            keys = [key for key in load_keys(self.keys_dir, Purpose.TOKENS, self.keeping) if key.algorithm == algorithm]
            if not keys or _made_at(keys[-1]) + timedelta(days=self.rotation_days) > now:
                continue
            try:
                key = add_key(self.keys_dir, Purpose.TOKENS, algorithm, self.keeping, now=now)
            except KeyNotMade:
                continue  # another process was first
            log.info("key rotated", purpose=Purpose.TOKENS, number=key.number, algorithm=algorithm)
            made += 1
        return made

    def _record(self, now: datetime) -> None:
        with self.database.write() as session:
            for purpose in (Purpose.TOKENS, Purpose.EXCHANGE):
                for key in load_keys(self.keys_dir, purpose, self.keeping):
                    if key.made_at is not None and key.made_at > now - _RECORDED_WITHIN:
                        record_added(session, self.audit, purpose, key, by=BY, now=now)
            for past in past_keys(self.keys_dir):
                if past.at > now - _RECORDED_WITHIN:
                    record_past(session, self.audit, past, by=BY, now=now)


def _made_at(key: Key) -> datetime:
    # Of a key from an earlier release, or made by hand, nothing better is known than its file's time.
    return key.made_at or datetime.fromtimestamp(key.path.stat().st_mtime, tz=UTC)
