"""Makes the deliveries that are due: in turns of a few threads, so that nobody waits for one recipient that hangs.

A turn gives each recipient with something due to one thread, which makes its deliveries one after the other and stops
at the first that shows the recipient down, or when its time is used up. A recipient that is down is then left in peace
for a while, longer each time, by this process; the deliveries themselves keep their own times. No transaction is open
while a handler works.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.outbox.deliveries import (
    Delivered,
    Delivery,
    Outcome,
    State,
    TryAgain,
    Undeliverable,
    claim_next,
    count_dead,
    recipients_due,
    settle,
)
from gateway.web.alerts import Alert, Alerts

log = structlog.get_logger("gateway.outbox")

THREADS = 8
MOST_A_TURN = 50
"""Deliveries for one recipient in one turn."""
SECONDS_A_TURN = 5.0
"""After which a recipient's thread claims nothing more in this turn."""
FIRST_REST = 5.0
LONGEST_REST = 300.0

Handler = Callable[[Delivery], Outcome]
"""Makes one attempt, within a bounded time well under the lease. What it raises is an attempt that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Delivers what is due, by the handler of each kind."""

    database: Database
    audit: AuditLog
    alerts: Alerts
    clock: Clock
    handlers: Mapping[str, Handler]
    monotonic: Callable[[], float] = time.monotonic
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set from outside: deliveries at hand are finished, and nothing more is claimed."""
    _resting: dict[str, tuple[float, int]] = field(default_factory=dict)

    def run_once(self) -> int:
        """Make the deliveries that are due, and return how many attempts were made. One thread calls this."""
        with self.database.read() as session:
            due = recipients_due(session, now=self.clock.now())
            dead = count_dead(session)
        self._tell_of_dead(dead)
        awake = [recipient for recipient in due if not self._rests(recipient)]
        if not awake:
            return 0
        with ThreadPoolExecutor(max_workers=min(THREADS, len(awake)), thread_name_prefix="outbox") as threads:
            return sum(threads.map(self._serve, awake))

    def _serve(self, recipient: str) -> int:
        began, made = self.monotonic(), 0
        while made < MOST_A_TURN and self.monotonic() - began < SECONDS_A_TURN and not self.stopping.is_set():
            try:
                outcome = self._deliver_next(recipient)
            except GatewayError as error:
                # The database's fault, not the recipient's: the lease brings the delivery back.
                log.error("delivery failed", code=error.code, reason=error.public, detail=error.detail)  # noqa: TRY400 - no traceback: it may hold data
                return made
            if outcome is None:
                break
            made += 1
            if isinstance(outcome, TryAgain) and outcome.recipient_down:
                self._let_rest(recipient)
                break
            self._resting.pop(recipient, None)
        return made

    def _deliver_next(self, recipient: str) -> Outcome | None:
        with self.database.write() as session:
            claimed = claim_next(session, recipient, now=self.clock.now())
        if claimed is None:
            return None
        # Committed: for the length of the lease nobody else makes this delivery.
        outcome = self._attempt(claimed)
        now = self.clock.now()
        with self.database.write() as session:
            state = settle(session, claimed, outcome, now=now)
            if state is State.DEAD and not isinstance(outcome, Delivered):
                self.audit.append(session, _given_up(claimed, outcome.reason), at=now)
        about = {"delivery": str(claimed.delivery_id), "kind": claimed.kind, "recipient": recipient}
        log.info("delivery attempted", **about, attempt=claimed.attempts, outcome=type(outcome).__name__)
        return outcome

    def _attempt(self, claimed: Delivery) -> Outcome:
        handler = self.handlers.get(claimed.kind)
        if handler is None:
            return TryAgain("this version knows no such kind of delivery")
        if claimed.attempts > claimed.attempts_allowed:
            return Undeliverable("every attempt ended with the process that made it")
        try:
            return handler(claimed)
        except GatewayError as error:
            return TryAgain(error.code)
        except Exception as error:  # noqa: BLE001 - one delivery's fault must not stop the others
            return TryAgain(type(error).__name__)

    def _tell_of_dead(self, dead: int) -> None:
        if dead:
            self.alerts.raised(Alert.DELIVERIES_GIVEN_UP, count=dead)
        else:
            self.alerts.ended(Alert.DELIVERIES_GIVEN_UP)

    def _rests(self, recipient: str) -> bool:
        until, _ = self._resting.get(recipient, (0.0, 0))
        return self.monotonic() < until

    def _let_rest(self, recipient: str) -> None:
        _, times = self._resting.get(recipient, (0.0, 0))
        pause = min(FIRST_REST * 2 ** min(times, 10), LONGEST_REST)
        self._resting[recipient] = (self.monotonic() + pause, times + 1)


def _given_up(delivery: Delivery, reason: str) -> Event:
    return delivery_event("outbox.delivery.given_up", delivery, reason=reason)


def delivery_event(name: str, delivery: Delivery, **details: object) -> Event:
    """Return an event about a delivery. Its details name the recipient, a system, and nothing of the payload."""
    about: dict[str, object] = {
        "delivery": str(delivery.delivery_id),
        "delivery_kind": delivery.kind,
        "recipient": delivery.recipient,
        "attempts": delivery.attempts,
    }
    return Event(name=name, outcome=DONE, members=(), details=about | details)
