"""What every attack is judged by: the answer's signature and form, what the log gained, and what else changed."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select, text

from gateway.audit.recorded import RecordedEvent
from gateway.clock import SystemClock
from gateway.sharing.exchange.models import ExchangeRow
from gateway.signing.signing_keys import Purpose
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import HttpRequest, HttpResponse, verify_response
from gateway.wire.receipts import Receipt, verify_receipt
from tests.kit.world import World

# Everything an exchange could leave behind. Not here: nonces and tokens, which are spent by being shown.
TABLES = (
    "exchanges",
    "subject_restrictions",
    "agreements",
    "agreement_signatures",
    "services",
    "members",
    "clients",
    "accounts",
    "pairwise_subjects",
)


@dataclass(slots=True, kw_only=True)
class Watched:
    """What happened while a test watched, known once it stops watching."""

    events: list[RecordedEvent] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)


@contextmanager
def watching(world: World) -> Iterator[Watched]:
    """Note which events of sharing enter the log, oldest first, and which tables change."""
    world.officer_token()  # signing in is not what is watched
    seen = {event.event_id for event in world.events()}
    before = _contents(world)
    watched = Watched()
    yield watched
    after = _contents(world)
    watched.changed = {name for name in TABLES if before[name] != after[name]}
    watched.events = [
        event for event in reversed(world.events()) if event.event_id not in seen and event.name.startswith("sharing.")
    ]


def problem_of(
    world: World, request: HttpRequest, response: HttpResponse, *, binding: str = "request"
) -> dict[str, Any]:
    """The problem document of an error, once it is known to be the gateway's own answer to this request."""
    verified = verify_response(
        response,
        request=request,
        keys=world.gateway.signing.public_jwks(Purpose.EXCHANGE),
        tag=EXCHANGE_TAG,
        now=SystemClock().now(),
    )
    assert verified.binding == binding
    assert response.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(response.body)
    assert problem["status"] == response.status
    assert problem["code"]
    assert problem["title"]
    return problem


def receipt_in(world: World, request: HttpRequest, body: Mapping[str, Any]) -> Receipt:
    """The receipt of an answer, verified, and about this very request."""
    receipt = verify_receipt(body["receipt"], keys=world.gateway.signing.public_jwks(Purpose.EXCHANGE))
    assert receipt.exchange == body["exchange"]
    assert receipt.request_digest == digest_b64(request.body)
    return receipt


def assert_turned_away(
    world: World,
    request: HttpRequest,
    *,
    status: int,
    code: str,
    cause: str | None = None,
    binding: str = "request",
    as_it_stands: bool = False,
) -> dict[str, Any]:
    """A known client's request that never becomes an exchange: one entry says so, and nothing else changes."""
    with watching(world) as watched:
        response = send_as_it_stands(request) if as_it_stands else world.send(request)
    problem = problem_of(world, request, response, binding=binding)
    assert (response.status, problem["code"]) == (status, code)
    assert problem.get("cause") == cause
    assert "receipt" not in problem
    assert [event.name for event in watched.events] == ["sharing.request.rejected"]
    assert world.details(watched.events[0])["code"] == code
    assert watched.changed == set()
    return problem


def assert_refused(world: World, request: HttpRequest, *codes: str) -> Receipt:
    """A request that policy refuses: every failing rule is named, a receipt says so, and nobody was asked."""
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (403, "refused")
    assert [rule["code"] for rule in problem["rules"]] == list(codes)
    receipt = receipt_in(world, request, problem)
    assert (receipt.decision, receipt.outcome) == ("deny", "refused")
    assert [rule.code for rule in receipt.rules] == list(codes)
    assert [(event.name, event.reference) for event in watched.events] == [("sharing.record.refused", receipt.exchange)]
    assert watched.changed == {"exchanges"}
    assert_closed_without_a_record(world, receipt.exchange)
    assert world.asked_of_department(receipt.exchange) is None
    return receipt


def assert_closed_without_a_record(world: World, exchange: str) -> None:
    """The exchange is over, disclosed nothing, and says when it ended."""
    row = exchange_row(world, exchange)
    assert row.state in {"refused", "failed", "abandoned"}
    assert row.closed_at is not None
    assert row.fields_disclosed == []


def exchange_row(world: World, exchange: str) -> ExchangeRow:
    """The exchange as the database holds it now."""
    with world.gateway.database.read() as session:
        return next(row for row in session.scalars(select(ExchangeRow)) if str(row.id) == exchange)


def send_as_it_stands(request: HttpRequest) -> HttpResponse:
    """Send a request whose target no client library may tidy up."""
    parts = urlsplit(request.target_uri)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        target = request.target_uri.partition(parts.netloc)[2]
        connection.request(request.method, target, body=request.body, headers=dict(request.headers))
        answer = connection.getresponse()
        return HttpResponse(status=answer.status, headers=dict(answer.getheaders()), body=answer.read())
    finally:
        connection.close()


def _contents(world: World) -> dict[str, list[str]]:
    with world.gateway.database.read() as session:
        return {
            name: sorted(repr(tuple(row)) for row in session.execute(text(f"SELECT * FROM {name}")))  # noqa: S608 - our own names
            for name in TABLES
        }
