"""An outbox on a database of the test's own, and recipients that do as the test says."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.audit.append import AuditLog
from gateway.audit.subject_keys import SubjectKeys
from gateway.db import Database
from gateway.outbox.courier import Courier
from gateway.outbox.deliveries import Delivered, Delivery, Letter, Outcome, enqueue
from gateway.web.alerts import Alerts
from tests.kit.clock import FrozenClock

KIND = "test.notice"


@dataclass(slots=True)
class Post:
    """The outbox, and what each recipient got. `answers` says how a recipient answers; otherwise it takes all."""

    database: Database
    audit: AuditLog
    clock: FrozenClock
    received: dict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, Callable[[Delivery], Outcome]] = field(default_factory=dict)
    seconds: float = 0.0
    """What the couriers' stopwatch shows."""
    alerts: Alerts = field(default_factory=Alerts)

    def courier(self) -> Courier:
        return Courier(
            database=self.database,
            audit=self.audit,
            alerts=self.alerts,
            clock=self.clock,
            handlers={KIND: self.handle},
            monotonic=lambda: self.seconds,
        )

    def handle(self, delivery: Delivery) -> Outcome:
        self.received[delivery.recipient].append(delivery)
        answer = self.answers.get(delivery.recipient)
        return answer(delivery) if answer is not None else Delivered()

    def enqueue(self, recipient: str, **payload: object) -> None:
        with self.database.write() as session:
            enqueue(session, [Letter(kind=KIND, recipient=recipient, payload=payload)], at=self.clock.now())

    def later(self, *, hours: float) -> None:
        """Let time pass, on the wall and on the stopwatch."""
        self.clock.advance(hours=hours)
        self.seconds += hours * 3600


@pytest.fixture
def post(database: Database, tmp_path: Path, clock: FrozenClock) -> Post:
    audit = AuditLog(database=database, subject_keys=SubjectKeys(tmp_path / "subject-keys"))
    return Post(database, audit, clock)


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()
