"""Evidence of exchanges over HTTP: however one ended, one file settles it, and the server is not asked again."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from gateway.audit.keeping.erase import erase_subject
from gateway.clock import SystemClock
from gateway.demo.layout import BLACKBURN, DWP, PORTAL_CLIENT
from gateway.sdk.consumer import Consumer
from gateway.sdk.evidence import Brought, Settled, load_brought, reveal, settle
from gateway.sharing.agreements.lifecycle import suspend_agreement
from gateway.sharing.evidence.commands import evidence_group
from gateway.sharing.exchange.models import ExchangeRow
from gateway.wire.keys import thumbprint
from gateway.wire.proofs import PublicKeys, parse_public_keys
from gateway.wire.receipts import Receipt
from tests.conformance.computed import ABOVE_LIMIT, ask, computing
from tests.kit.world import NOBODY_MATCH, Asking, World

READER = ("--with-details", "--by", "O Sample", "--reason", "dispute 2026/17")


def asked(world: World, asking: Asking, **changes: object) -> tuple[str, bytes, bytes]:
    """Ask, and return the exchange's id, the request's body and the answer's."""
    request = world.signed(world.body(asking, **changes))
    answer = world.send(request)
    exchange = json.loads(answer.body)["exchange"]
    assert isinstance(exchange, str)
    return exchange, request.body, answer.body


def exported(world: World, *arguments: str) -> Result:
    return CliRunner().invoke(evidence_group(world.gateway.audit_context), ["export", *arguments])


def settled(world: World, *arguments: str, brought: Brought | None = None) -> Settled:
    result = exported(world, *arguments)
    assert result.exit_code == 0, result.output
    return settle(result.stdout_bytes, public_keys(world), brought=brought)


def public_keys(world: World) -> PublicKeys:
    return parse_public_keys(world.public_keys_file().read_bytes())


def names(evidence: Settled) -> list[str]:
    return [step.name for step in evidence.steps][5:]


def test_a_disclosure_is_settled_by_one_file_and_shows_the_field_that_is_chosen(world: World, tmp_path: Path) -> None:
    asking = world.asking()
    exchange, request, answer = asked(world, asking)
    file = tmp_path / "evidence.json"
    assert exported(world, exchange, "-o", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o077 == 0
    for value in (b"targeted", b"QQ123456C", b"Testcase", json.loads(answer)["record"].split("~")[1].encode()):
        assert value not in file.read_bytes()
    kept = load_brought(request, answer)
    evidence = settle(file.read_bytes(), public_keys(world), brought=kept)
    assert names(evidence) == ["answer", "agreement", "policy", "request", "record"]
    receipt = evidence.receipt
    assert receipt.outcome == "disclosed"
    assert receipt.client_key == thumbprint(world.signer(PORTAL_CLIENT).public_jwk())
    assert evidence.agreement is not None
    assert evidence.agreement["reference"] == asking.reference
    shown = settle(reveal(file.read_bytes(), kept, ["tier"]), public_keys(world))
    assert shown.fields == {"tier": "targeted"}


def test_what_the_gateway_computed_is_revealed_from_what_the_consumer_kept(world: World, tmp_path: Path) -> None:
    asking = computing(world, "computed-well", ABOVE_LIMIT)
    consumer = Consumer(world.issuer, PORTAL_CLIENT, world.signer(PORTAL_CLIENT), receipts=tmp_path)
    answer = ask(world, asking, "eligible", "above_limit", consumer=consumer)
    kept = load_brought(None, (tmp_path / f"{answer.exchange}.json").read_bytes())
    file = exported(world, answer.exchange).stdout_bytes
    evidence = settle(file, public_keys(world), brought=kept)
    assert names(evidence) == ["answer", "checks", "agreement", "policy", "request", "record"]
    assert settle(reveal(file, kept, ["above_limit"]), public_keys(world)).fields == {"above_limit": True}


def test_details_open_what_the_log_committed_to_and_whoever_reads_them_is_recorded(world: World) -> None:
    exchange, _, _ = asked(world, world.asking())
    evidence = settled(world, exchange, *READER)
    assert "details" in names(evidence)
    assert evidence.details is not None
    assert evidence.details["decision_inputs"]["request"]["case_reference"] == "FSM/2026/00017"
    assert evidence.details["decision_inputs"]["agreement"]["digest"] == evidence.receipt.agreement_digest
    reading = world.events(names=["audit.details.read"])[0]
    assert world.details(reading)["reason"] == "dispute 2026/17"


def receipt_of_refusal(world: World, asking: Asking, **changes: object) -> Receipt:
    exchange, request, _ = asked(world, asking, **changes)
    evidence = settled(world, exchange, brought=Brought(request=request))
    assert names(evidence) == ["agreement", "policy", "request"]
    return evidence.receipt


def test_refusals_and_failures_have_evidence_alike(world: World) -> None:
    refused = receipt_of_refusal(world, world.asking(), fields=["award_amount"])
    assert [rule.code for rule in refused.rules] == ["field_not_covered"]
    no_record = receipt_of_refusal(world, world.asking(answer_seconds=1.0), subject={"match": NOBODY_MATCH})
    assert [rule.code for rule in no_record.rules] == ["no_record"]
    assert receipt_of_refusal(world, world.asking("unsigned")).outcome == "failed"
    draft = world.asking(signed_by=[BLACKBURN])
    assert {rule.code for rule in receipt_of_refusal(world, draft).rules} == {
        "agreement_not_in_force",
        "provider_signature_missing",
    }


def test_without_an_agreement_the_policy_that_refused_is_there(world: World) -> None:
    exchange, _, _ = asked(world, Asking(service="dwp/no-such-service/v1", reference="DSA-NONE"))
    assert names(settled(world, exchange)) == ["policy"]


def test_what_was_in_force_then_is_shown_whatever_became_of_it(world: World) -> None:
    asking = world.asking()
    exchange, _, _ = asked(world, asking)
    with world.gateway.database.write() as session:
        suspend_agreement(
            session,
            asking.reference,
            1,
            audit=world.gateway.audit,
            by="tests",
            reason="a dispute",
            at=SystemClock().now(),
        )
    evidence = settled(world, exchange)
    signed = next(step.proved for step in evidence.steps if step.name == "agreement")
    assert signed.endswith(f"signed by {BLACKBURN} and {DWP}")


def test_erased_details_are_said_to_be_and_the_rest_holds(world: World) -> None:
    somebody = {"match": {**NOBODY_MATCH, "nino": "QQ888888C"}}
    exchange, _, _ = asked(world, world.asking(), subject=somebody, fields=["award_amount"])
    with world.gateway.database.read() as session:
        subject = session.get_one(ExchangeRow, UUID(exchange)).subject
    erase_subject(
        world.gateway.database,
        world.gateway.audit,
        subject=subject,
        by="tests",
        reason="a request",
        at=SystemClock().now(),
    )
    result = exported(world, exchange, *READER)
    assert result.exit_code == 0
    assert "the key of the person they are about is destroyed" in result.stderr
    evidence = settle(result.stdout_bytes, public_keys(world))
    assert evidence.details is None
    assert names(evidence) == ["agreement", "policy"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("0190c0de-0000-7000-8000-000000000000",), 1, "there is no exchange"),
        (("nonsense",), 1, "is not the id of an exchange"),
        (("0190c0de-0000-7000-8000-000000000000", "--with-details"), 2, "--by and --reason"),
    ],
)
def test_what_cannot_be_exported_is_said(world: World, arguments: tuple[str, ...], status: int, said: str) -> None:
    result = exported(world, *arguments)
    assert result.exit_code == status
    assert said in result.output
