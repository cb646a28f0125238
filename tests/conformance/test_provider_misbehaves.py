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
        ("future-record", 502, "provider_answer_invalid"),
        ("html", 502, "provider_answer_invalid"),
    ],
)
def test_an_answer_that_cannot_be_believed(world: World, behaviour: str, status: int, code: str) -> None:
    given = ANSWER_SECONDS if code == "provider_timeout" else ENOUGH_SECONDS
    asking = world.asking(behaviour, answer_seconds=given)
    world.officer_token()
    began = time.monotonic()
    response = assert_fails(world, asking, status=status, code=code)
    # A provider has the service's own time and no more, however it spends it.
    assert time.monotonic() - began < given + 4
    # What the department said, or let slip, stays with the gateway.
    for slipped in (b"QQ123456C", b"54210", b"targeted", b"<html>", b"database"):
        assert slipped not in response.body


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("gzip-bomb", "provider_answer_invalid"),
        ("endless-headers", "provider_answer_too_large"),
        ("interim-flood", "provider_answer_too_large"),
        ("cut-short", "provider_unreachable"),
        ("http-1-0-cut-short", "provider_answer_unsigned"),
        ("not-http", "provider_unreachable"),
        ("closes-at-once", "provider_unreachable"),
        ("signed-by-the-council", "provider_answer_unsigned"),
    ],
)
def test_a_server_that_breaks_http(world: World, behaviour: str, code: str) -> None:
    asking = world.asking()
    path = f"/{behaviour}/{asking.service}"
    set_endpoint(world, asking, world.raw.address + path)
    assert_fails(world, asking, status=502, code=code)
    # It had the question: whatever became of the answer, nobody asks for it twice.
    assert len(world.raw.received_at(path)) == 1


@pytest.mark.parametrize("behaviour", ["http-1-0", "interim-first"])
def test_a_server_that_uses_an_old_form_of_http(world: World, behaviour: str) -> None:
    asking = world.asking()
    set_endpoint(world, asking, f"{world.raw.address}/{behaviour}")
    assert world.send(world.signed(world.body(asking))).status == 200


def test_a_server_that_does_not_speak_tls(world: World) -> None:
    asking = world.asking()
    set_endpoint(world, asking, f"https://{world.raw.place}/good")
    assert_fails(world, asking, status=502, code="provider_unreachable")


def test_an_answer_to_an_earlier_question(world: World) -> None:
    asking = world.asking("replayed")
    assert world.send(world.signed(world.body(asking))).status == 200
    assert_fails(world, asking, status=502, code="provider_answer_unsigned")


def test_a_kept_connection_that_was_closed_is_no_failure(world: World) -> None:
    """Nobody can have acted on what was sent into it: the same question goes out once more, signed anew."""
    asking = world.asking()
    path = f"/kept-then-closed/{asking.service}"
    set_endpoint(world, asking, world.raw.address + path)
    for _ in range(20):  # until a worker uses its connection again
        assert world.send(world.signed(world.body(asking))).status == 200
        if any(received.kept for received in world.raw.received_at(path)):
            break
    received = world.raw.received_at(path)
    lost = next(one for one in received if one.kept)
    again = [one for one in received if one.question == lost.question]
    assert [one.kept for one in again] == [True, False]
    assert again[0].headers["Signature-Input"] != again[1].headers["Signature-Input"]


def test_a_provider_that_is_down(world: World) -> None:
    asking = world.asking()
    set_endpoint(world, asking, f"http://{world.own_provider}/good")
    problem = json.loads(assert_fails(world, asking, status=502, code="provider_unreachable").body)
    event = world.events(reference=problem["exchange"])[0]
    assert "NewConnectionError" in str(world.details(event)["reason"]), "it was not the connection that failed"


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
