"""What grows is kept bounded while the gateway serves: rows whose time is over are deleted, a batch at a time.

Each batch is a transaction of its own, small enough that whoever else wants to write hardly waits for it, and after it
the others have the database to themselves for as long as it took. Tables take turns, so that a long backlog of one
does not hold up the rest. While more is waiting it goes on; it is done when no table has a whole batch left.

Any number of processes may do this at once: each leaves alone what another has at hand.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.identity.session_ends import OVERDUE_BATCH, SessionEnds
from gateway.identity.throttling import purge_attempts
from gateway.oidc.authorization.pushed import purge_pushed
from gateway.oidc.clients.registration_tokens import purge_initial_tokens
from gateway.oidc.tokens.refresh import forget_kept_answers
from gateway.oidc.tokens.revocation import purge_access_tokens, purge_authorizations, purge_refresh_tokens
from gateway.once.expired import BATCH
from gateway.once.once import purge_used
from gateway.outbox.deliveries import purge_deliveries
from gateway.sharing.exchange.documents.sweeping import purge_attachments
from gateway.sharing.exchange.limits.budgets import purge_queries
from gateway.sharing.exchange.limits.volumes import purge_windows
from gateway.sharing.exchange.outcomes import forget_answers

log = structlog.get_logger("gateway.purging")


class Purge(Protocol):
    """A room's own purge of one thing."""

    def __call__(self, session: Session, *, now: datetime, limit: int) -> int:
        """Delete at most `limit` of what is over, in the caller's transaction; returns how many that were."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Something that grows with use, and how it is kept bounded."""

    name: str
    """As operators read it: the table, or what in it is forgotten."""
    purge: Purge
    batch: int = BATCH
    after: frozenset[str] = frozenset()
    """What goes first: until it is gone, what it hangs from would only be looked at again and again, and left."""


GROWTHS = (
    Growth(name="used_once", purge=purge_used),
    Growth(name="access_tokens", purge=purge_access_tokens),
    Growth(name="refresh_tokens", purge=purge_refresh_tokens),
    Growth(name="authorizations", purge=purge_authorizations, after=frozenset({"access_tokens", "refresh_tokens"})),
    Growth(name="pushed_requests", purge=purge_pushed),
    Growth(name="sign_in_attempts", purge=purge_attempts),
    Growth(name="outbox_deliveries", purge=purge_deliveries),
    Growth(name="initial_access_tokens", purge=purge_initial_tokens),
    Growth(name="answers to refreshes", purge=forget_kept_answers),
    Growth(name="answers to exchanges", purge=forget_answers),
    Growth(name="subject_queries", purge=purge_queries),
    Growth(name="quota_windows", purge=purge_windows),
    Growth(name="exchange_attachments", purge=purge_attachments),
)


def sessions(ends: SessionEnds) -> Growth:
    """Return how sessions are kept bounded: each that is over is ended, its event recorded and its clients told."""
    return Growth(name="sign_in_sessions", purge=ends.end_overdue, batch=OVERDUE_BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purging:
    """Purges some growths of one database."""

    database: Database
    growths: Sequence[Growth]
    now: Callable[[], datetime]
    pause: Callable[[float], bool]
    """Waits so many seconds, or until all shall stop; tells whether it shall."""
    told: Callable[[str, int], None] = lambda _name, _rows: None
    """Is told after each batch of what, and how many."""

    def run_once(self) -> int:
        """Delete all that is over, until no growth has a whole batch left or it is told to stop; returns how many."""
        total = 0
        waiting = list(self.growths)
        while waiting:
            more: list[Growth] = []
            for growth in waiting:
                if not growth.after.isdisjoint(earlier.name for earlier in more):
                    more.append(growth)
                    continue
                rows, seconds = self._batch(growth)
                total += rows
                if rows >= growth.batch:
                    more.append(growth)
                if self.pause(seconds if rows else 0.0):
                    return total
            waiting = more
        return total

    def _batch(self, growth: Growth) -> tuple[int, float]:
        with self.database.write() as session:
            began = time.perf_counter()  # from its turn on: what it waited before, nobody waited for
            rows = growth.purge(session, now=self.now(), limit=growth.batch)
        seconds = time.perf_counter() - began
        if rows:
            log.debug("purged", growth=growth.name, rows=rows, milliseconds=round(seconds * 1000, 1))
            self.told(growth.name, rows)
        return rows, seconds
