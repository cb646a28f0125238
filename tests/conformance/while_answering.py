"""Stand in the moment between a provider being asked and its answer being released."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from gateway.clock import SystemClock
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from tests.kit.world import Asking, World

GATED_ANSWER_SECONDS = 4.0


def gated(world: World, **changes: Any) -> Asking:
    """A service whose department answers when the test lets it, with time enough for the test to act."""
    asking = world.asking("gated", **changes)
    set_answer_seconds(world, asking, GATED_ANSWER_SECONDS)
    return asking


def set_answer_seconds(world: World, asking: Asking, seconds: float) -> None:
    """Change the moment at which this service's "no record" leaves."""
    with world.gateway.database.write() as session:
        service = find_service(session, asking.service)
        assert service is not None
        record_service(session, replace(service, answer_seconds=seconds), at=SystemClock().now())


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
            yield Waiting(world=world, asking=asking, exchange=_exchange_asked(world, asking), answer=answer)
        finally:
            world.open_gate(asking)


def _exchange_asked(world: World, asking: Asking) -> str:
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
