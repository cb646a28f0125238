"""Stand in the moment between a provider being asked and its answer being released."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from tests.kit.world import Asking, World


def gated(world: World, *, answer_seconds: float = 10.0, **changes: Any) -> Asking:
    """A service whose department answers when the test lets it, with time enough for the test to act."""
    return world.asking("gated", answer_seconds=answer_seconds, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An exchange whose provider was asked and has not answered."""

    world: World
    asking: Asking
    exchange: str
    answer: "Future[HttpResponse]"

    def let_answer(self) -> HttpResponse:
        """Open the gate; what the consumer gets in the end."""
        self.world.open_gate(self.asking)
        return self.answer.result(timeout=30)


@contextmanager
def asked_and_waiting(world: World, asking: Asking, request: HttpRequest) -> Iterator[Waiting]:
    """Send the request, and go on once the provider has the question."""
    with ThreadPoolExecutor(1) as sender:
        answer = sender.submit(world.send, request)
        try:
            yield Waiting(world=world, asking=asking, exchange=exchange_asked(world, asking), answer=answer)
        finally:
            world.open_gate(asking)


def exchange_asked(world: World, asking: Asking) -> str:
    """The exchange of this agreement whose provider has the question; fails where there is none."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with world.gateway.database.read() as session:
            found = session.scalar(
                select(ExchangeRow.id).where(ExchangeRow.service == asking.service, ExchangeRow.state == "open")
            )
        if found is not None and (world.gates / f"asked-{found}").exists():
            return str(found)
        time.sleep(0.02)
    raise AssertionError("the provider was not asked")
