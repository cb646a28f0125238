"""Permission ends before, during or after the provider's answer: from that moment on nothing is released."""

import uuid

import pytest
from sqlalchemy.orm import Session

from gateway.clock import SystemClock
from gateway.identity.accounts import suspend_account
from gateway.sharing.agreements.lifecycle import resume_agreement
from gateway.sharing.exchange.people.restrictions import record_restriction
from tests.conformance.expectations import (
    assert_closed_without_a_record,
    exchange_row,
    problem_of,
    receipt_in,
    watching,
)
from tests.conformance.others import another_client, officer_token_of
from tests.conformance.while_answering import asked_and_waiting, gated
from tests.kit.world import ADA_MATCH, Asking, World


def suspended(world: World, session: Session, asking: Asking) -> None:
    world.suspend(asking, session)


def resumed(world: World, session: Session, asking: Asking) -> None:
    resume_agreement(
        session,
        asking.reference,
        asking.version,
        audit=world.gateway.audit,
        by="tests",
        reason="a test",
        at=SystemClock().now(),
    )


def test_an_agreement_suspended_while_the_provider_is_answering(world: World) -> None:
    asking = gated(world)
    request = world.signed(world.body(asking))
    with watching(world) as watched, asked_and_waiting(world, asking, request) as waiting:
        with world.gateway.database.write() as session:
            suspended(world, session, asking)
        response = waiting.let_answer()
    problem = problem_of(world, request, response)
    assert (response.status, problem["code"]) == (403, "refused")
    assert [rule["code"] for rule in problem["rules"]] == ["agreement_suspended"]
    assert b"record" not in response.body.replace(b'"no_record"', b"")
    receipt = receipt_in(world, request, problem)
    assert receipt.outcome == "refused"
    assert receipt.fields_disclosed == ()
    assert world.outcomes_of(receipt.exchange) == ["refused"]
    assert_closed_without_a_record(world, receipt.exchange)
    refused = [event for event in watched.events if event.reference == receipt.exchange]
    assert world.details(refused[0])["rules"] == [{"code": "agreement_suspended", "rule": "agreement-is-not-suspended"}]
    assert world.details(refused[0])["decision_inputs"]["agreement"]["status"] == "suspended"


def test_an_agreement_suspended_and_resumed_while_the_provider_is_answering(world: World) -> None:
    """What counts is what is true in the moment of release."""
    asking = gated(world)
    request = world.signed(world.body(asking))
    with asked_and_waiting(world, asking, request) as waiting:
        with world.gateway.database.write() as session:
            suspended(world, session, asking)
        with world.gateway.database.write() as session:
            resumed(world, session, asking)
        response = waiting.let_answer()
    assert response.status == 200


@pytest.mark.parametrize(
    ("what", "codes"),
    [("client", ["caller_not_consumer"]), ("officer", ["role_not_covered"])],
)
def test_a_caller_suspended_while_the_provider_is_answering(world: World, what: str, codes: list[str]) -> None:
    other = another_client(world)
    asking = gated(world, conditions__clients=[other.client_id])
    request = world.signed(
        world.body(asking), token=officer_token_of(world, other), signer=other.signer, client_id=other.client_id
    )
    with asked_and_waiting(world, asking, request) as waiting:
        if what == "client":
            another_client(world, client_id=other.client_id, keys=other.client.keys, active=False)
        else:
            officer = exchange_row(world, waiting.exchange).officer_account
            assert officer is not None
            with world.gateway.database.write() as session:
                suspend_account(session, officer, at=SystemClock().now())
        response = waiting.let_answer()
    problem = problem_of(world, request, response)
    assert [rule["code"] for rule in problem["rules"]] == codes
    assert world.outcomes_of(waiting.exchange) == ["refused"]


def test_a_person_restricted_while_the_provider_is_answering(world: World) -> None:
    asking = gated(world, answer_seconds=4.0)
    request = world.signed(world.body(asking))
    with asked_and_waiting(world, asking, request) as waiting:
        subject = exchange_row(world, waiting.exchange).subject
        with world.gateway.database.write() as session:
            record_restriction(session, subject=subject, service=asking.service, at=SystemClock().now())
        response = waiting.let_answer()
    assert problem_of(world, request, response)["code"] == "no_record"
    assert world.outcomes_of(waiting.exchange) == ["refused"]


@pytest.mark.parametrize("subject", ["match", "sub"])
def test_an_agreement_suspended_before_an_honest_retry(world: World, subject: str) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    named = {"match": ADA_MATCH} if subject == "match" else {"sub": world.citizen_sub()}
    body = world.body(asking, subject=named)
    first = world.send(world.signed(body, key=key))
    assert first.status == 200
    with world.gateway.database.write() as session:
        suspended(world, session, asking)
    retry = world.signed(body, key=key)
    with watching(world) as watched:
        response = world.send(retry)
    problem = problem_of(world, retry, response)
    assert [rule["code"] for rule in problem["rules"]] == ["agreement_suspended"]
    receipt = receipt_in(world, retry, problem)
    assert (receipt.decision, receipt.outcome, receipt.fields_disclosed) == ("deny", "refused", ())
    assert [(event.name, event.reference) for event in watched.events] == [("sharing.retry.refused", receipt.exchange)]
    # What was disclosed before was disclosed: the exchange itself stays as it ended.
    assert watched.changed == set()
    assert exchange_row(world, receipt.exchange).state == "disclosed"
    # Resumed, the same retry gets what the first got.
    with world.gateway.database.write() as session:
        resumed(world, session, asking)
    again = world.send(world.signed(body, key=key))
    assert (again.status, again.body) == (200, first.body)
    assert world.outcomes_of(receipt.exchange) == ["disclosed", "refused", "repeated"]


def test_a_suspension_is_not_held_up_by_a_provider_that_is_answering(world: World) -> None:
    """No transaction is open while a provider is asked: whoever suspends does not wait for it."""
    asking = gated(world)
    with asked_and_waiting(world, asking, world.signed(world.body(asking))) as waiting:
        before = SystemClock().now()
        with world.gateway.database.write() as session:
            suspended(world, session, asking)
        assert (SystemClock().now() - before).total_seconds() < 3.0
        assert waiting.let_answer().status == 403
    world.assert_log_verifies()
