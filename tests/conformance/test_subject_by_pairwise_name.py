"""A person asked about by the consumer's own `sub`: each side keeps its own name, and nobody learns another's."""

import json
import re

from gateway.demo.layout import BLACKBURN, DWP
from gateway.sdk.consumer import Answer
from gateway.wire.encoding import b64url_decode
from tests.conformance.expectations import receipt_in
from tests.kit.world import ANSWER_SECONDS, World

# Design §4: all that a provider is told.
TOLD = {"exchange", "service", "purpose", "agreement", "consumer", "subject", "handle", "fields", "audience"}


def test_each_side_keeps_its_own_name_for_the_person(world: World) -> None:
    asking = world.asking()
    councils, departments = world.citizen_sub(BLACKBURN), world.citizen_sub(DWP)
    assert councils != departments
    request = world.signed(world.body(asking, subject={"sub": councils}))
    response = world.send(request)
    assert response.status == 200
    body = json.loads(response.body)
    asked = world.asked_of_department(body["exchange"])
    assert asked is not None
    assert asked["subject"] == {"sub": departments}
    assert councils not in json.dumps(asked)
    # Nowhere in the answer, encoded or not, is the department's name for the person.
    assert departments.encode() not in response.body + unpacked(response.body)
    receipt = receipt_in(world, request, body)
    assert receipt.subject == {"sub": councils}
    # The record names the person by a handle that is good for this exchange alone.
    assert receipt.handle == asked["handle"] not in {councils, departments}


def test_the_department_is_told_what_it_needs_and_no_more(world: World) -> None:
    asking = world.asking()
    body = json.loads(world.send(world.signed(world.body(asking, subject={"sub": world.citizen_sub()}))).body)
    asked = world.asked_of_department(body["exchange"])
    assert asked is not None
    assert set(asked) == TOLD
    assert asked["fields"] == ["eligible", "tier"]
    assert asked["audience"] == asked["consumer"] == BLACKBURN
    # Neither the officer nor the council's own case is the department's business.
    assert "FSM/2026/00017" not in json.dumps(asked)
    assert "officer" not in json.dumps(asked)


def test_two_exchanges_about_one_person_share_no_handle(world: World) -> None:
    asking = world.asking()
    request = [world.signed(world.body(asking, subject={"sub": world.citizen_sub()})) for _ in range(2)]
    bodies = [json.loads(world.send(each).body) for each in request]
    handles = {receipt_in(world, each, body).handle for each, body in zip(request, bodies, strict=True)}
    assert len(handles) == 2


def test_the_departments_name_for_a_person_is_nobody_to_the_council(world: World) -> None:
    """A name leaked from one member is of no use at another."""
    asking = world.asking(answer_seconds=ANSWER_SECONDS)
    request = world.signed(world.body(asking, subject={"sub": world.citizen_sub(DWP)}))
    response = world.send(request)
    assert (response.status, json.loads(response.body)["code"]) == (403, "no_record")
    told = world.asked_of_department(json.loads(response.body)["exchange"])
    # The department was asked about nobody, so that its failures look the same for everybody.
    assert told is not None
    assert told["subject"]["sub"] != world.citizen_sub(DWP)


def test_the_public_log_names_nobody(world: World) -> None:
    asking = world.asking()
    answer = world.consumer().ask(
        service=asking.service,
        purpose=asking.purpose,
        subject={"sub": world.citizen_sub()},
        fields=["eligible"],
        case_reference="FSM/2026/00017",
        access_token=world.officer_token(),
    )
    assert isinstance(answer, Answer)
    assert answer.fields == {"eligible": True}
    leaf = next(leaf for leaf in world.assert_log_verifies() if leaf.reference == answer.exchange)
    assert set(leaf.members) == {BLACKBURN, DWP}
    written = leaf.encode().decode()
    for name in (world.citizen_sub(BLACKBURN), world.citizen_sub(DWP), "FSM/2026/00017", "eligible"):
        assert name not in written


def unpacked(body: bytes) -> bytes:
    """Everything in an answer that is base64url, decoded."""
    return b" ".join(
        b64url_decode(part)
        for part in re.findall(r"[A-Za-z0-9_-]{16,}", body.decode())
        if len(part) % 4 != 1 and _clean(part)
    )


def _clean(part: str) -> bool:
    try:
        b64url_decode(part)
    except Exception:  # noqa: BLE001 - not everything that looks like base64url is
        return False
    return True
