"""A check tells yes, no or a tier: neither what it was computed from nor the threshold reaches the consumer."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.layout import PORTAL_CLIENT
from gateway.sdk.answers import Answer, Refusal
from gateway.sdk.consumer import Consumer
from gateway.sdk.receipts import ReceiptFolder
from gateway.sdk.settling import verify_kept
from gateway.wire.contracts import CHECK_TYP
from gateway.wire.jws import unverified_claims, unverified_header
from gateway.wire.proofs import parse_public_keys
from tests.conformance.computed import (
    ABOVE_LIMIT,
    AWARD_BAND,
    BAND,
    COMPUTED_THERE,
    ask,
    computing,
    everything_logged,
    everything_said,
    everything_stored,
)
from tests.conformance.expectations import problem_of, receipt_in, watching
from tests.kit.computing_department import AWARD, LIMIT, NOTE
from tests.kit.world import NOBODY_MATCH, World

SECRET = [str(value) for value in (AWARD, LIMIT, BAND)]
SERVICES = ("services", "agreements", "policy_versions")
"""Tables in which thresholds stand, for those who run the gateway."""


@pytest.mark.parametrize("check", [ABOVE_LIMIT, COMPUTED_THERE])
def test_a_check_is_told_and_what_it_rests_on_is_nowhere(world: World, check: dict[str, Any]) -> None:
    asking = computing(world, "computed-well", check)
    request = world.signed(world.body(asking, fields=["above_limit", "eligible"]))
    response = world.send(request)
    assert response.status == 200, response.body
    body = json.loads(response.body)
    receipt = receipt_in(world, request, body)
    assert receipt.fields_disclosed == ("above_limit", "eligible")
    said = everything_said(response.body)
    assert '"above_limit", true' in said, "what is told is found"
    assert "award_amount" not in said.replace('"fields_withheld":["award_amount"]', "")
    leaves = [str(leaf) for leaf in world.assert_log_verifies() if leaf.reference == receipt.exchange]
    details = [
        json.dumps(dict(world.details(event)), default=str) for event in world.events(reference=receipt.exchange)
    ]
    rows = list(everything_stored(world))
    assert any(str(LIMIT) in row for row in rows), "where it stands, it is found"
    stored = [row for row in rows if not row.startswith(SERVICES)]
    for secret in SECRET:
        for place in (said, *leaves, *details, *stored, everything_logged(world)):
            assert secret not in place


def test_the_gateway_computes_from_what_the_provider_gives_it_alone(world: World) -> None:
    asking = computing(world, "computed-well", ABOVE_LIMIT)
    answer = ask(world, asking, "above_limit", "tier")
    assert isinstance(answer, Answer)
    assert answer.fields == {"above_limit": True, "tier": "targeted"}
    assert answer.receipt.fields_withheld == ("award_amount",)
    asked = world.asked_of_department(answer.exchange)
    assert asked is not None
    assert asked["fields"] == ["tier", "award_amount"]
    assert {"checks", "thresholds"} & asked.keys() == set()
    assert answer.checks is not None
    assert unverified_header(answer.checks.partition("~")[0])["typ"] == CHECK_TYP
    claims = unverified_claims(answer.checks.partition("~")[0])
    assert claims["basis"] == answer.receipt.provider_jwt_digest
    assert (claims["iss"], claims["aud"], claims["jti"]) == (world.issuer, "E06000008", answer.exchange)
    assert claims["agreement"] == f"{asking.reference}.1"


def test_the_provider_computes_and_its_value_never_leaves_it(world: World) -> None:
    asking = computing(world, "computed-well", AWARD_BAND)
    answer = ask(world, asking, "award_band")
    assert isinstance(answer, Answer)
    assert answer.fields == {"award_band": "high"}
    assert answer.receipt.fields_withheld == ()
    assert answer.checks is None
    assert answer.receipt.checks_digest is None
    asked = world.asked_of_department(answer.exchange)
    assert asked is not None
    assert asked["fields"] == []
    assert asked["checks"] == [
        {name: AWARD_BAND[name] for name in ("name", "from", "expression", "gives")},
    ]
    assert asked["thresholds"] == {"limit": LIMIT, "band": BAND}
    assert len(unverified_claims(answer.record.partition("~")[0])["_sd"]) == 1


def test_both_sides_compute_in_one_answer_and_a_source_may_be_asked_for_where_it_is_agreed(world: World) -> None:
    asking = computing(world, "computed-well", ABOVE_LIMIT, AWARD_BAND, fields=["note", "award_amount"])
    answer = ask(world, asking, "award_band", "note", "above_limit", "award_amount")
    assert isinstance(answer, Answer)
    assert answer.fields == {"award_band": "high", "note": NOTE, "above_limit": True, "award_amount": AWARD}
    assert answer.receipt.fields_disclosed == ("award_band", "note", "above_limit", "award_amount")
    assert answer.receipt.fields_withheld == ()


def test_an_honest_retry_gets_the_very_same_check(world: World) -> None:
    asking = computing(world, "computed-well", ABOVE_LIMIT)
    key, salt = str(uuid.uuid4()), "s" * 22
    first, second = (
        ask(world, asking, "above_limit", idempotency_key=key, salt=salt),
        ask(world, asking, "above_limit", idempotency_key=key, salt=salt),
    )
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.checks, first.receipt_jws, first.fields) == (second.checks, second.receipt_jws, second.fields)
    assert len(world.questions(first.exchange)) == 1
    assert world.outcomes_of(first.exchange) == ["disclosed", "repeated"]


@pytest.mark.parametrize(
    ("behaviour", "check", "code"),
    [
        ("without-award", ABOVE_LIMIT, "check_not_computed"),
        ("without-award", COMPUTED_THERE, "check_not_computed"),
        ("lying", AWARD_BAND, "provider_answer_invalid"),
        ("lying", COMPUTED_THERE, "provider_answer_invalid"),
        ("without-source", ABOVE_LIMIT, "provider_answer_invalid"),
        ("wrong-source", ABOVE_LIMIT, "provider_answer_invalid"),
    ],
)
def test_a_check_that_cannot_be_computed_discloses_nothing(
    world: World, behaviour: str, check: dict[str, Any], code: str
) -> None:
    asking = computing(world, f"computed-{behaviour}", check)
    request = world.signed(world.body(asking, fields=[check["name"], "eligible"]))
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (502, code)
    receipt = receipt_in(world, request, problem)
    assert (receipt.outcome, receipt.fields_disclosed, receipt.checks_digest) == ("failed", (), None)
    (event,) = watched.events
    assert event.name == "sharing.exchange.failed"
    told = (everything_said(response.body), json.dumps(dict(world.details(event)), default=str))
    for place in (*told, everything_logged(world)):
        assert not [secret for secret in SECRET if secret in place]


@pytest.mark.parametrize("name", ["award_amount", "note"])
def test_what_a_check_is_computed_from_may_not_be_asked_for_itself(world: World, name: str) -> None:
    answer = ask(world, computing(world, "computed-well", ABOVE_LIMIT), "above_limit", name)
    assert isinstance(answer, Refusal)
    assert [rule.code for rule in answer.rules] == ["field_not_covered"]
    assert world.asked_of_department(answer.exchange) is None


def test_a_check_of_another_agreement_is_a_name_like_any_unknown(world: World) -> None:
    answer = ask(world, computing(world, "computed-well"), "above_limit")
    assert isinstance(answer, Refusal)
    assert [rule.code for rule in answer.rules] == ["unknown_field"]


@pytest.mark.parametrize("check", [ABOVE_LIMIT, COMPUTED_THERE])
def test_whom_nobody_knows_is_answered_as_ever(world: World, check: dict[str, Any]) -> None:
    asking = computing(world, "computed-well", check, answer_seconds=1.0)
    request = world.signed(world.body(asking, fields=["above_limit"], subject={"match": NOBODY_MATCH}))
    problem = problem_of(world, request, world.send(request))
    assert problem["code"] == "no_record"
    assert receipt_in(world, request, problem).fields_withheld == ()


def test_a_kept_check_is_settled_offline_and_not_without_its_statement(world: World, tmp_path: Path) -> None:
    asking = computing(world, "computed-well", ABOVE_LIMIT)
    consumer = Consumer(world.issuer, PORTAL_CLIENT, world.signer(PORTAL_CLIENT), receipts=tmp_path)
    answer = ask(world, asking, "above_limit", "tier", consumer=consumer)
    kept = ReceiptFolder(tmp_path).load(answer.exchange)
    keys = parse_public_keys(world.public_keys_file().read_bytes())
    verdict = verify_kept(kept, keys)
    assert verdict.receipt is not None
    assert verdict.receipt.fields_disclosed == ("above_limit", "tier")
    assert kept.checks is not None
