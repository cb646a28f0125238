"""Whether answers about several people can be told apart: by words, receipt, entry of the log, or time."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from gateway.audit.models import EventRow
from gateway.clock import SystemClock, parse_rfc3339
from gateway.wire.leaves import parse_leaf
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.receipts import Receipt
from tests.conformance.expectations import problem_of, receipt_in
from tests.kit.world import ANSWER_SECONDS, Asking, World

# What is new in every answer, whoever it is about.
ALWAYS_NEW = {
    "date",
    "content-digest",
    "signature",
    "signature-input",
    "x-request-id",
    "content-security-policy",
    "ratelimit",  # how many requests the consumer sent before
}
# Generous, because the machine may be busy: that nobody is answered early is what hides who asked whom.
SPREAD = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a consumer has of one answer."""

    request: HttpRequest
    response: HttpResponse
    sent_at: datetime
    seconds: float


def ask_all(world: World, asking: Asking, subjects: Mapping[str, Mapping[str, Any]]) -> dict[str, Seen]:
    """Ask about all of them at once, each under the same circumstances."""

    def ask(subject: Mapping[str, Any]) -> Seen:
        request = world.signed(world.body(asking, subject=subject))
        sent_at, began = SystemClock().now(), time.monotonic()
        response = world.send(request)
        return Seen(request=request, response=response, sent_at=sent_at, seconds=time.monotonic() - began)

    world.officer_token()
    with ThreadPoolExecutor(len(subjects)) as askers:
        return dict(zip(subjects, askers.map(ask, subjects.values()), strict=True))


def shown(world: World, asking: Asking, seen: Seen) -> Receipt:
    """The receipt of a "no record" answer that tells no more than it may."""
    problem = problem_of(world, seen.request, seen.response)
    assert (seen.response.status, problem["code"]) == (403, "no_record")
    assert [rule["code"] for rule in problem["rules"]] == ["no_record"]
    receipt = receipt_in(world, seen.request, problem)
    assert [rule.code for rule in receipt.rules] == ["no_record"]
    assert (receipt.service, receipt.outcome, receipt.decision) == (asking.service, "refused", "deny")
    return receipt


def shape_of(response: HttpResponse) -> Any:
    headers = [(name, None if name.lower() in ALWAYS_NEW else value) for name, value in response.headers.items()]
    body = json.loads(response.body)
    return response.status, headers, [(name, _unless_new(name, body[name])) for name in body]


def shape_of_receipt(receipt: Receipt) -> Any:
    return {item.name: _unless_new(item.name, getattr(receipt, item.name)) for item in fields(receipt)}


def shape_of_leaf(world: World, receipt: Receipt) -> Any:
    events = world.events(reference=receipt.exchange)
    assert len(events) == 1
    leaf = parse_leaf(_leaf_bytes(world, receipt))
    return {
        "event": leaf.event,
        "members": leaf.members,
        "outcome": leaf.outcome,
        "lengths": (len(leaf.event_id), len(leaf.at), len(leaf.commitment), len(leaf.reference or "")),
    }


def dated_after(world: World, seen: Seen, what: str) -> float:
    """Seconds from sending to the date in the receipt, or in the leaf that everybody can read."""
    problem = json.loads(seen.response.body)
    receipt = receipt_in(world, seen.request, problem)
    dated = receipt.issued_at if what == "receipt" else parse_leaf(_leaf_bytes(world, receipt)).at
    return (parse_rfc3339(dated) - seen.sent_at).total_seconds()


def reason_in_details(world: World, seen: Seen) -> list[str]:
    event = world.events(reference=json.loads(seen.response.body)["exchange"])[0]
    return [rule["code"] for rule in world.details(event)["rules"]]


def assert_alike(shapes: Mapping[str, Any]) -> None:
    first, *others = shapes
    for other in others:
        assert shapes[other] == shapes[first], f"{other} differs from {first}"


def assert_same_time(seconds: Mapping[str, float]) -> None:
    assert min(seconds.values()) >= ANSWER_SECONDS - 0.005, seconds
    assert max(seconds.values()) - min(seconds.values()) < SPREAD, seconds


def _unless_new(name: str, value: Any) -> Any:
    new = {"exchange", "receipt", "issued_at", "handle", "request_digest", "log_entry", "subject"}
    if name == "subject" and value is not None:
        return {inner: len(text) for inner, text in value.items()}
    return len(value) if name in new and value is not None else value


def _leaf_bytes(world: World, receipt: Receipt) -> bytes:
    event = world.events(reference=receipt.exchange)[0]
    with world.gateway.database.read() as session:
        row = session.get(EventRow, event.event_id)
        assert row is not None
        return row.leaf
