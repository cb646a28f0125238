"""How often one may try to sign in: counted in the database, so that every worker and node counts together.

An attempt is claimed *before* it is looked at: a hundred guesses sent at once are a hundred attempts. What is counted
is the address that was typed, not the account, so that an unknown person is throttled exactly like a known one.
"""

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.identity.models import AttemptsRow
from gateway.once.expired import BATCH, delete_expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `attempts` in each `window`, which begins with the first of them."""

    name: str
    attempts: int
    window: timedelta


PASSWORD_LIMIT = Limit(name="password", attempts=10, window=timedelta(minutes=15))
CODE_LIMIT = Limit(name="code", attempts=5, window=timedelta(minutes=15))
# NIST SP 800-63B §3.2.2 allows at most 100 failures in a row. Of a million codes three are right at any time: somebody
# who knows the password and makes all 30 guesses every day finds one within a year with a chance of three in a hundred.
PASSWORD_DAY_LIMIT = Limit(name="password-day", attempts=100, window=timedelta(days=1))
CODE_DAY_LIMIT = Limit(name="code-day", attempts=30, window=timedelta(days=1))
PASSWORD_LIMITS = (PASSWORD_LIMIT, PASSWORD_DAY_LIMIT)
CODE_LIMITS = (CODE_LIMIT, CODE_DAY_LIMIT)
# Offices share one address: generous towards them, and still a bound on spraying one password over many people.
SOURCE_LIMIT = Limit(name="source", attempts=300, window=timedelta(minutes=15))


_FORGET = delete(AttemptsRow).where(AttemptsRow.key.in_(bindparam("keys", expanding=True)))
_REFUND = (
    update(AttemptsRow)
    .where(AttemptsRow.key == bindparam("of"), AttemptsRow.attempts > 0)
    .values(attempts=AttemptsRow.attempts - 1)
)


class Throttle:
    """Counts attempts under keyed hashes: the table tells nobody who tried."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit key."""
        self._key = key

    def claim_attempts(self, session: Session, claims: Sequence[tuple[Limit, str]], *, now: datetime) -> int | None:
        """Count one attempt for each value; returns None when it may go ahead, else the seconds to wait.

        The caller commits the claims before looking at what is being tried.
        """
        limits = {self._hash(limit, value): limit for limit, value in claims}
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        claim = insert(AttemptsRow)
        over = AttemptsRow.expires_at <= now
        counted = claim.on_conflict_do_update(
            index_elements=[AttemptsRow.key],
            set_={
                "attempts": case((over, 1), else_=AttemptsRow.attempts + 1),
                "expires_at": case((over, claim.excluded.expires_at), else_=AttemptsRow.expires_at),
            },
        ).returning(AttemptsRow.key, AttemptsRow.attempts, AttemptsRow.expires_at)
        # In one order, so that two attempts which count the same things wait for each other and never in a circle.
        rows = [{"key": key, "attempts": 1, "expires_at": now + limits[key].window} for key in sorted(limits)]
        waits = [
            max(1, math.ceil((counted_until - now).total_seconds()))
            for key, attempts, counted_until in session.connection().execute(counted, rows)
            if attempts > limits[key].attempts
        ]
        return max(waits, default=None)

    def forget(self, session: Session, limits: Sequence[Limit], value: str) -> None:
        """Start counting afresh, after a success."""
        keys = [self._hash(limit, value) for limit in limits]
        session.connection().execute(_FORGET, {"keys": keys})

    def refund(self, session: Session, limit: Limit, value: str) -> None:
        """Take back one attempt: it succeeded, and a source is charged for failures only."""
        session.connection().execute(_REFUND, {"of": self._hash(limit, value)})

    def _hash(self, limit: Limit, value: str) -> bytes:
        return hmac.digest(self._key, f"attempts\x00{limit.name}\x00{value}".encode("utf-8", "surrogatepass"), "sha256")


def purge_attempts(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` counters whose window is over; returns how many."""
    return delete_expired(session, AttemptsRow, now=now, limit=limit)
