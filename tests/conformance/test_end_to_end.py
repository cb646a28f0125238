"""Values that are for the consumer alone: the gateway verifies, drops and passes on what it cannot read."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.clock import SystemClock
from gateway.demo.layout import PORTAL_CLIENT
from gateway.directory.members import find_registration, record_client
from gateway.sdk.answers import Answer, AnswerNotBelievable, NotAnswered, Refusal
from gateway.sdk.consumer import Consumer
from gateway.sdk.evidence import load_brought, reveal, settle
from gateway.sdk.receipts import ReceiptFolder
from gateway.sdk.settling import verify_kept
from gateway.sharing.evidence.commands import evidence_group
from gateway.wire.encoding import b64url_decode
from gateway.wire.proofs import parse_public_keys
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.computed import (
    COMPUTED_THERE,
    ask,
    computing,
    everything_logged,
    everything_said,
    everything_stored,
)
from tests.conformance.expectations import problem_of, receipt_in, watching
from tests.conformance.while_answering import asked_and_waiting
from tests.kit.computing_department import NOTE, note_of
from tests.kit.process_memory import holds_in_memory, with_children
from tests.kit.world import ADA_MATCH, NOBODY_MATCH, Asking, World

PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = DecryptionKey(PRIVATE)
"""Registered for the council's portal as long as this module runs."""
FIELDS = ("eligible", "note")


@pytest.fixture(scope="module", autouse=True)
def _registered(world: World) -> Iterator[None]:
    """The portal's key for encryption, which no other test's agreement names."""
    _set_keys(world, KEY)
    yield
    _set_keys(world)


def _set_keys(world: World, *keys: DecryptionKey) -> None:
    with world.gateway.database.write() as session:
        found = find_registration(session, PORTAL_CLIENT)
        assert found is not None
        changed = replace(found[0], encryption_keys=tuple(key.public_jwk() for key in keys))
        record_client(session, changed, at=SystemClock().now())


def sealed(world: World, behaviour: str = "well", *, pinned: DecryptionKey = KEY, **changes: Any) -> Asking:
    """An agreement that asks for encryption to our key, with a department that encrypts to the pinned one alone."""
    terms: dict[str, Any] = {
        "fields": ["eligible", "note", "tier"],
        "end_to_end": {"keys": [KEY.thumbprint]},
        **changes,
    }
    return computing(world, f"sealed-{behaviour}/{pinned.thumbprint}", *terms.pop("checks", ()), **terms)


def consumer(world: World, asking: Asking, **changes: Any) -> Consumer:
    """The portal with its private key, which believes this service's answers only encrypted."""
    options: dict[str, Any] = {"decryption": [KEY], "encrypted": [asking.service], **changes}
    return Consumer(world.issuer, PORTAL_CLIENT, world.signer(PORTAL_CLIENT), **options)


def test_the_consumer_alone_can_show_one_value_in_evidence(world: World, tmp_path: Path) -> None:
    asking = sealed(world)
    answer = ask(world, asking, *FIELDS, consumer=consumer(world, asking, receipts=tmp_path))
    exported = CliRunner().invoke(evidence_group(world.gateway.audit_context), ["export", answer.exchange])
    keys = parse_public_keys(world.public_keys_file().read_bytes())
    kept = load_brought(None, (tmp_path / f"{answer.exchange}.json").read_bytes())
    assert settle(exported.stdout_bytes, keys, brought=kept).steps[-1].name == "record"
    shown = settle(reveal(exported.stdout_bytes, kept, ["eligible"]), keys)
    assert shown.fields == {"eligible": True}


def test_what_is_for_the_consumer_is_nowhere_at_the_gateway(world: World, tmp_path: Path) -> None:
    asking = sealed(world, "in-particular")
    key, salt = str(uuid.uuid4()), "s" * 22
    asker = consumer(world, asking, receipts=tmp_path)
    answer = ask(world, asking, *FIELDS, consumer=asker, idempotency_key=key, salt=salt)
    assert isinstance(answer, Answer)
    note = note_of(answer.exchange)
    assert answer.fields == {"eligible": True, "note": note}
    assert answer.receipt.fields_disclosed == FIELDS
    asked = world.asked_of_department(answer.exchange)
    assert asked is not None
    assert asked["encrypt_to"]["kid"] == KEY.thumbprint
    disclosure = answer.record.split("~")[2]
    for place in (*everything_stored(world), everything_logged(world)):
        assert note not in place
        assert disclosure not in place
    assert world.department is not None
    department = with_children(world.department.process.pid)
    gateway = with_children(world.processes["gateway"].pid)
    assert holds_in_memory(department, note.encode()), "where it is, it is found"
    assert holds_in_memory(gateway, answer.exchange.encode()), "where they are, things are found"
    assert not holds_in_memory(gateway, note.encode())
    assert not holds_in_memory(gateway, disclosure.encode())
    again = ask(world, asking, *FIELDS, consumer=asker, idempotency_key=key, salt=salt)
    assert isinstance(again, Answer)
    assert (again.receipt_jws, again.record, again.fields) == (answer.receipt_jws, answer.record, answer.fields)
    assert world.outcomes_of(answer.exchange) == ["disclosed", "repeated"]
    # What the consumer keeps settles like any other record.
    verify_kept(ReceiptFolder(tmp_path).load(answer.exchange), parse_public_keys(world.public_keys_file().read_bytes()))
    world.assert_log_verifies()


def test_the_answer_on_the_wire_holds_a_record_without_disclosures(world: World) -> None:
    request = world.signed(world.body(sealed(world), fields=list(FIELDS)))
    response = world.send(request)
    body = json.loads(response.body)
    assert body["record"].count("~") == 1
    assert [part["field"] for part in body["encrypted"]] == list(FIELDS)
    assert NOTE not in everything_said(response.body)
    disclosure = KEY.open(body["encrypted"][1]["jwe"]).decode()
    assert json.loads(b64url_decode(disclosure))[1:] == ["note", NOTE]


def test_a_check_of_the_providers_is_encrypted_like_a_field(world: World) -> None:
    asking = sealed(world, checks=[COMPUTED_THERE])
    answer = ask(world, asking, "above_limit", consumer=consumer(world, asking))
    assert isinstance(answer, Answer)
    assert answer.fields == {"above_limit": True}


def test_what_was_not_asked_for_is_dropped_by_its_label(world: World) -> None:
    asking = sealed(world, "more-than-asked")
    answer = ask(world, asking, *FIELDS, consumer=consumer(world, asking))
    assert isinstance(answer, Answer)
    assert answer.fields == {"eligible": True, "note": NOTE}
    assert answer.receipt.fields_withheld == ("award_amount", "tier")
    assert answer.record.count("~") == 3


@pytest.mark.parametrize(
    "behaviour",
    ["in-the-clear", "partly-clear", "less-than-asked", "to-another-key", "not-signed-for", "twice"],
)
def test_what_is_not_encrypted_as_agreed_goes_no_further(world: World, behaviour: str) -> None:
    request = world.signed(world.body(sealed(world, behaviour), fields=list(FIELDS)))
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (502, "provider_answer_invalid")
    assert receipt_in(world, request, problem).fields_disclosed == ()
    assert [event.name for event in watched.events] == ["sharing.exchange.failed"]
    assert NOTE not in everything_said(response.body)
    assert not [row for row in everything_stored(world) if NOTE in row]


@pytest.mark.parametrize("behaviour", ["swapped-labels", "swapped-contents"])
def test_labels_that_lie_are_noticed_by_the_recipient(world: World, behaviour: str) -> None:
    asking = sealed(world, behaviour)
    with pytest.raises(AnswerNotBelievable, match="encrypted values"):
        ask(world, asking, *FIELDS, consumer=consumer(world, asking))


def test_a_department_encrypts_to_no_key_that_the_gateway_slips_in(world: World) -> None:
    """As if the gateway had put a key of its own into its directory, and into its copy of the agreement."""
    asking = sealed(world, pinned=DecryptionKey.generate())
    problem = _problem(world, asking)
    assert (problem["status"], problem["code"]) == (502, "provider_refused")
    assert "the key is not one that this agreement names" in everything_logged(world)


def test_a_department_that_encrypts_tells_nothing_to_a_gateway_that_does_not_ask_for_it(world: World) -> None:
    asking = computing(world, f"sealed-well/{KEY.thumbprint}", fields=["eligible", "note", "tier"])
    problem = _problem(world, asking)
    assert (problem["status"], problem["code"]) == (502, "provider_refused")
    assert "this service answers encrypted, or not at all" in everything_logged(world)


def test_a_consumer_believes_no_answer_in_the_clear_where_it_was_promised_another(world: World) -> None:
    asking = computing(world, "computed-well", fields=["eligible", "note", "tier"])
    with pytest.raises(AnswerNotBelievable, match="should have been encrypted"):
        ask(world, asking, *FIELDS, consumer=consumer(world, asking))


def test_a_consumer_without_the_private_key_gets_no_values(world: World) -> None:
    asking = sealed(world)
    with pytest.raises(AnswerNotBelievable, match="encrypted values"):
        ask(world, asking, *FIELDS, consumer=consumer(world, asking, decryption=[DecryptionKey.generate()]))


@pytest.mark.parametrize("subject", [ADA_MATCH, NOBODY_MATCH])
def test_without_a_registered_key_nobody_is_asked_whoever_it_is_about(world: World, subject: dict[str, str]) -> None:
    asking = sealed(world, end_to_end={"keys": [DecryptionKey.generate().thumbprint]})
    request = world.signed(world.body(asking, fields=list(FIELDS), subject={"match": subject}))
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (409, "encryption_key_missing")
    receipt = receipt_in(world, request, problem)
    assert receipt.outcome == "failed"
    assert world.asked_of_department(receipt.exchange) is None
    assert [event.name for event in watched.events] == ["sharing.exchange.failed"]


def test_a_key_taken_away_while_the_department_answers_gets_nothing(world: World) -> None:
    taken = DecryptionKey.generate()
    _set_keys(world, KEY, taken)
    asking = sealed(world, "gated", pinned=taken, end_to_end={"keys": [taken.thumbprint]}, answer_seconds=10.0)
    request = world.signed(world.body(asking, fields=list(FIELDS)))
    with asked_and_waiting(world, asking, request) as waiting:
        _set_keys(world, KEY)
        response = waiting.let_answer()
    problem = problem_of(world, request, response)
    assert problem["code"] == "encryption_key_missing"
    assert receipt_in(world, request, problem).fields_disclosed == ()


def test_an_answer_to_a_key_taken_away_since_is_not_given_again(world: World) -> None:
    taken = DecryptionKey.generate()
    _set_keys(world, KEY, taken)
    asking = sealed(world, pinned=taken, end_to_end={"keys": [taken.thumbprint]})
    body, key = json.dumps(world.body(asking, fields=list(FIELDS))).encode(), str(uuid.uuid4())
    first, again = (world.send(world.signed(body, key=key)) for _ in range(2))
    assert (first.status, again.body) == (200, first.body)
    _set_keys(world, KEY)
    refused = world.send(world.signed(body, key=key))
    assert (refused.status, json.loads(refused.body)["code"]) == (409, "answer_withdrawn")


def test_the_key_that_comes_first_in_the_agreement_is_used(world: World) -> None:
    first, second = DecryptionKey.generate(), DecryptionKey.generate()
    _set_keys(world, KEY, second, first)
    keys = [DecryptionKey.generate().thumbprint, first.thumbprint, second.thumbprint]
    asking = sealed(world, pinned=first, end_to_end={"keys": keys})
    answer = ask(world, asking, *FIELDS, consumer=consumer(world, asking, decryption=[KEY, second, first]))
    _set_keys(world, KEY)
    assert isinstance(answer, Answer)
    assert answer.fields["note"] == NOTE


def test_whom_nobody_knows_is_answered_as_ever(world: World) -> None:
    asking = sealed(world, answer_seconds=1.0)
    request = world.signed(world.body(asking, fields=list(FIELDS), subject={"match": NOBODY_MATCH}))
    assert problem_of(world, request, world.send(request))["code"] == "no_record"


def test_more_than_agreed_is_refused_before_anybody_encrypts(world: World) -> None:
    asking = sealed(world)
    answer = ask(world, asking, "note", "award_amount", consumer=consumer(world, asking))
    assert isinstance(answer, Refusal)
    assert [rule.code for rule in answer.rules] == ["field_not_covered"]


def test_a_key_for_encryption_signs_no_request_and_proves_no_client(world: World) -> None:
    """The very same private key, on the curve that also signs: registered for encryption, it opens nothing."""
    signer = PrivateKeySigner(PRIVATE)
    assert signer.key_id == KEY.thumbprint
    request = world.signed(world.body(sealed(world), fields=list(FIELDS)), signer=signer)
    response = world.send(request)
    assert response.status == 401
    assert json.loads(response.body)["code"] == "invalid_request_signature"
    token = world.token_request(
        {"grant_type": "client_credentials", "resource": f"{world.issuer}/sharing/v1"},
        assertion=world.assertion(signer=signer),
    )
    assert (token.status_code, token.json()["error"]) == (401, "invalid_client")


def _problem(world: World, asking: Asking) -> dict[str, Any]:
    with pytest.raises(NotAnswered) as caught:
        ask(world, asking, *FIELDS)
    return caught.value.problem
