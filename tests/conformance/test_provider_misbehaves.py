"""A department that is down, slow, hostile or wrong: nothing of its answer gets through, and the log says why."""

import json
import time
from dataclasses import replace

import pytest

from gateway.clock import SystemClock
from gateway.demo.layout import DWP
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.wire.contracts import RECORD_TYP
from gateway.wire.keys import SIGNING_ALGORITHMS
from gateway.wire.message_signatures import HttpResponse
from gateway.wire.sd_jwt import verify_sd_jwt
from tests.conformance.expectations import (
    assert_closed_without_a_record,
    problem_of,
    receipt_in,
    watching,
)
from tests.kit.processes import free_port
from tests.kit.world import ANSWER_SECONDS, ENOUGH_SECONDS, Asking, World


def assert_fails(world: World, asking: Asking, *, status: int, code: str) -> HttpResponse:
    """The exchange fails by this name: one entry, one receipt, no record."""
    request = world.signed(world.body(asking))
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (status, code)
    assert set(problem) == {"type", "title", "status", "code", "detail", "exchange", "receipt"}
    receipt = receipt_in(world, request, problem)
    assert (receipt.decision, receipt.outcome) == ("permit", "failed")
    assert receipt.fields_disclosed == ()
    assert receipt.provider_jwt_digest is None
    assert [rule.code for rule in receipt.rules] == [code]
    assert [(event.name, event.reference) for event in watched.events] == [
        ("sharing.exchange.failed", receipt.exchange)
    ]
    assert str(world.details(watched.events[0])["reason"]).startswith(f"{code}: ")
    assert_closed_without_a_record(world, receipt.exchange)
    return response


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        ("slow", 504, "provider_timeout"),
        ("dripping", 504, "provider_timeout"),
        ("too-large", 502, "provider_answer_too_large"),
        ("unsigned", 502, "provider_answer_unsigned"),
        ("signed-by-another", 502, "provider_answer_unsigned"),
        ("record-by-another", 502, "provider_answer_invalid"),
        ("wrong-audience", 502, "provider_answer_invalid"),
        ("wrong-exchange", 502, "provider_answer_invalid"),
        ("wrong-handle", 502, "provider_answer_invalid"),
        ("expired-record", 502, "provider_answer_invalid"),
        ("missing-field", 502, "provider_answer_invalid"),
        ("schema-violation", 502, "provider_answer_invalid"),
        ("not-json", 502, "provider_answer_invalid"),
        ("error", 502, "provider_error"),
        ("redirect", 502, "provider_refused"),
    ],
)
def test_an_answer_that_cannot_be_believed(world: World, behaviour: str, status: int, code: str) -> None:
    given = ANSWER_SECONDS if code == "provider_timeout" else ENOUGH_SECONDS
    asking = world.asking(behaviour, answer_seconds=given)
    began = time.monotonic()
    response = assert_fails(world, asking, status=status, code=code)
    # A provider has the service's own time and no more, however it spends it.
    assert time.monotonic() - began < given + 2
    # What the department said, or let slip, stays with the gateway.
    for slipped in (b"QQ123456C", b"54210", b"targeted", b"<html>", b"database"):
        assert slipped not in response.body


def test_a_provider_that_is_down(world: World) -> None:
    asking = world.asking()
    nobody = f"{world.layout.provider.rpartition(':')[0]}:{free_port()}/good"
    set_endpoint(world, asking, nobody)
    assert_fails(world, asking, status=502, code="provider_unreachable")


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest", "https://127.0.0.1:1/", "https://[::1]/x"])
def test_an_address_inside_the_machine_or_its_network(world: World, address: str) -> None:
    """What is registered is not trusted: the only way out refuses to go there."""
    asking = world.asking()
    set_endpoint(world, asking, address)
    assert_fails(world, asking, status=502, code="provider_unreachable")


def test_fields_that_nobody_asked_for_are_dropped_and_recorded(world: World) -> None:
    asking = world.asking("extra-fields")
    request = world.signed(world.body(asking))
    response = world.send(request)
    assert response.status == 200
    body = json.loads(response.body)
    record = verify_sd_jwt(
        body["record"],
        keys=world.consumer()._documents.member_keys(DWP, SystemClock().now()),
        typ=RECORD_TYP,
        algorithms=SIGNING_ALGORITHMS,
        issuer=DWP,
        audience="E06000008",
        now=SystemClock().now(),
    )
    # The department's own signature still holds over what is left.
    assert record.fields == {"eligible": True, "tier": "targeted"}
    receipt = receipt_in(world, request, body)
    assert receipt.fields_disclosed == ("eligible", "tier")
    # A name that could mislead a reader is not repeated.
    assert set(receipt.fields_withheld) == {"award_amount", "(unnamed)"}
    assert b"54210" not in response.body
    event = world.events(reference=receipt.exchange)[0]
    assert event.outcome == "disclosed"
    assert set(world.details(event)["fields_withheld"]) == {"award_amount", "(unnamed)"}


def test_only_what_was_asked_for_is_sent_in_the_order_asked(world: World) -> None:
    request = world.signed(world.body(world.asking("extra-fields"), fields=["tier"]))
    body = json.loads(world.send(request).body)
    receipt = receipt_in(world, request, body)
    assert receipt.fields_disclosed == ("tier",)
    assert body["record"].count("~") == 2
    asked = world.asked_of_department(receipt.exchange)
    assert asked is not None
    assert asked["fields"] == ["tier"]


def test_a_failed_exchange_can_be_asked_anew_under_a_new_key(world: World) -> None:
    asking = world.asking("unsigned")
    assert_fails(world, asking, status=502, code="provider_answer_unsigned")
    set_endpoint(world, asking, f"{world.hostile}/good")
    assert world.send(world.signed(world.body(asking))).status == 200
    world.assert_log_verifies()


def set_endpoint(world: World, asking: Asking, endpoint: str) -> None:
    with world.gateway.database.write() as session:
        service = find_service(session, asking.service)
        assert service is not None
        record_service(session, replace(service, endpoint=endpoint), at=SystemClock().now())
