"""Exchanges that ended in each way there is, for tests of what is shown about them."""

import json
import secrets
import time
from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import make_transient

from gateway.clock import SystemClock
from gateway.db import new_id
from gateway.sharing.exchange.listing import find_exchange
from gateway.sharing.exchange.models import ExchangeRow
from tests.kit.world import NOBODY_MATCH, World

RECOVERED_WITHIN_SECONDS = 20
# How long the department may take where the test is not about time, on a machine that is busy with other things.
PATIENCE_SECONDS = 10.0


def disclosed(world: World) -> str:
    """Ask what is covered; the exchange's id."""
    return _asked(world, "good", expected=200)


def refused(world: World) -> str:
    """Ask for a field that is not covered."""
    return _asked(world, "good", expected=403, fields=["eligible", "award_amount"])


def without_record(world: World) -> str:
    """Ask about somebody whom the department does not know."""
    return _asked(world, "good", expected=403, answer_seconds=2.0, subject={"match": NOBODY_MATCH})


def failed(world: World) -> str:
    """Ask a department that is too slow."""
    return _asked(world, "slow", expected=504, answer_seconds=1.0)


def abandoned(world: World) -> str:
    """Leave an exchange as a killed worker does, open and past its lease, and wait until recovery has closed it."""
    model = UUID(disclosed(world))
    now = SystemClock().now()
    with world.gateway.database.write() as session:
        row = session.get_one(ExchangeRow, model)
        make_transient(row)
        row.id, row.retry_mac = new_id(), secrets.token_bytes(32)
        row.state, row.opened_at, row.lease_until = "open", now, now - timedelta(seconds=1)
        row.closed_at = row.receipt = row.answer = row.answer_status = row.answer_until = None
        row.fields_disclosed = row.fields_withheld = []
        session.add(row)
        exchange = row.id
    deadline = time.monotonic() + RECOVERED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with world.gateway.database.read() as session:
            found = find_exchange(session, exchange)
        if found is not None and found.outcome == "abandoned":
            return str(exchange)
        time.sleep(0.1)
    raise AssertionError("recovery did not close the exchange")


def _asked(
    world: World, behaviour: str, *, expected: int, answer_seconds: float = PATIENCE_SECONDS, **changes: object
) -> str:
    asking = world.asking(behaviour, answer_seconds=answer_seconds)
    answer = world.send(world.signed(world.body(asking, **changes)))
    assert answer.status == expected, answer.body
    exchange: str = json.loads(answer.body)["exchange"]
    return exchange
