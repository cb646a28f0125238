"""The same Idempotency-Key again: an honest retry gets the original answer, everything else gets nothing new."""

import http.client
import json
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import update

from gateway.clock import SystemClock
from gateway.sharing.exchange.models import ExchangeRow
from gateway.signing.signing_keys import Purpose
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import verify_response
from tests.conformance.expectations import (
    assert_turned_away,
    exchange_row,
    problem_of,
    receipt_in,
    watching,
)
from tests.conformance.others import another_client, officer_token_of
from tests.conformance.while_answering import asked_and_waiting, exchange_asked, gated
from tests.faults.pressure import wait_until
from tests.kit.world import World


def age(world: World, exchange: str, **values: datetime) -> None:
    """Let time pass for one exchange."""
    with world.gateway.database.write() as session:
        session.execute(update(ExchangeRow).where(ExchangeRow.id == UUID(exchange)).values(**values))


def test_an_honest_retry_gets_the_original_answer_under_a_fresh_signature(world: World) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    first = world.send(world.signed(body, key=key))
    assert first.status == 200
    exchange = json.loads(first.body)["exchange"]
    retries = [world.signed(body, key=key) for _ in range(6)]  # enough to reach both workers
    with watching(world) as watched:
        answers = [world.send(retry) for retry in retries]
    for retry, answer in zip(retries, answers, strict=True):
        assert (answer.status, answer.body) == (200, first.body)
        assert answer.headers["Content-Type"] == first.headers["Content-Type"]
        assert answer.headers["Signature"] != first.headers["Signature"]
        verified = verify_response(
            answer,
            request=retry,
            keys=world.gateway.signing.public_jwks(Purpose.EXCHANGE),
            tag=EXCHANGE_TAG,
            now=SystemClock().now(),
        )
        assert verified.binding == "request"
        receipt_in(world, retry, json.loads(answer.body))
    assert [event.name for event in watched.events] == ["sharing.answer.repeated"] * 6
    assert watched.changed == set()
    assert world.outcomes_of(exchange) == ["disclosed"] + ["repeated"] * 6


@pytest.mark.parametrize(
    ("behaviour", "changes", "outcome"),
    [("good", {"fields": ["award_amount"]}, "refused"), ("unsigned", {}, "failed"), ("error", {}, "failed")],
)
def test_a_refusal_and_a_failure_are_repeated_as_they_were(
    world: World, behaviour: str, changes: Mapping[str, Any], outcome: str
) -> None:
    key = str(uuid.uuid4())
    body = world.body(world.asking(behaviour), **changes)
    first = world.send(world.signed(body, key=key))
    again = world.send(world.signed(body, key=key))
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Content-Type"] == "application/problem+json"
    assert world.outcomes_of(json.loads(first.body)["exchange"]) == [outcome, "repeated"]


def test_another_body_under_the_same_key(world: World) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    assert world.send(world.signed(world.body(asking), key=key)).status == 200
    # Even the same question is another body: its salt differs.
    assert_turned_away(world, world.signed(world.body(asking), key=key), status=422, code="idempotency_key_reused")


def test_the_key_in_capitals_is_the_same_key(world: World) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    first = world.send(world.signed(body, key=key))
    assert world.send(world.signed(body, key=key.upper())).body == first.body


def test_another_clients_key_is_another_key(world: World) -> None:
    """Nobody gets an answer, or learns of one, by knowing somebody else's key and body."""
    other = another_client(world)
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    first = world.send(world.signed(body, key=key))
    stranger = world.signed(
        body, key=key, token=officer_token_of(world, other), signer=other.signer, client_id=other.client_id
    )
    answer = world.send(stranger)
    problem = problem_of(world, stranger, answer)
    assert [rule["code"] for rule in problem["rules"]] == ["client_not_covered"]
    assert problem["exchange"] != json.loads(first.body)["exchange"]


def test_another_officers_key_is_another_key(world: World) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    first = world.send(world.signed(body, key=key))
    colleague = world.tokens(world.officer())["access_token"]
    answer = world.send(world.signed(body, key=key, token=colleague))
    assert answer.status == 200
    assert json.loads(answer.body)["exchange"] != json.loads(first.body)["exchange"]


def test_a_retry_while_the_first_is_still_running(world: World) -> None:
    asking, key = gated(world), str(uuid.uuid4())
    body = world.body(asking)
    with asked_and_waiting(world, asking, world.signed(body, key=key)) as waiting:
        retry = world.signed(body, key=key)
        with watching(world) as watched:
            answer = world.send(retry)
        assert (answer.status, problem_of(world, retry, answer)["code"]) == (409, "still_running")
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
        assert watched.changed == set()
        assert [event.name for event in watched.events] == ["sharing.request.rejected"]
        first = waiting.let_answer()
    assert first.status == 200
    assert world.send(world.signed(body, key=key)).body == first.body
    assert world.outcomes_of(waiting.exchange) == ["disclosed", "repeated"]


def test_a_retry_after_the_connection_was_cut_while_the_provider_answered(world: World) -> None:
    """Whoever asked is gone; the exchange ends all the same, once, and its answer waits for whoever asks again."""
    asking, key = gated(world), str(uuid.uuid4())
    body = world.body(asking)
    request = world.signed(body, key=key)
    connection = http.client.HTTPConnection(urlsplit(world.issuer).netloc, timeout=30)
    connection.request("POST", "/sharing/v1/exchanges", body=request.body, headers=dict(request.headers))
    exchange = exchange_asked(world, asking)
    connection.close()
    assert json.loads(world.send(world.signed(body, key=key)).body)["code"] == "still_running"
    world.open_gate(asking)
    wait_until(lambda: exchange_row(world, exchange).state != "open", within_seconds=20)
    answer = world.send(world.signed(body, key=key))
    assert (answer.status, json.loads(answer.body)["exchange"]) == (200, exchange)
    assert world.outcomes_of(exchange) == ["disclosed", "repeated"]
    assert len(world.questions(exchange)) == 1


def test_a_retry_after_the_answer_is_no_longer_kept(world: World) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    first = json.loads(world.send(world.signed(body, key=key)).body)
    age(world, first["exchange"], answer_until=SystemClock().now() - timedelta(seconds=1))
    retry = world.signed(body, key=key)
    answer = world.send(retry)
    problem = problem_of(world, retry, answer)
    assert (answer.status, problem["code"]) == (409, "answer_expired")
    # The receipt of what happened then is still worth having; what was disclosed is not in it.
    assert (problem["exchange"], problem["receipt"]) == (first["exchange"], first["receipt"])
    assert receipt_in(world, retry, problem).outcome == "disclosed"
    assert "record" not in problem
    assert world.outcomes_of(first["exchange"]) == ["disclosed"]


def test_a_retry_after_the_first_was_abandoned(world: World) -> None:
    """Recovery closed it; the slow worker that wakes up afterwards discloses nothing either."""
    asking, key = gated(world), str(uuid.uuid4())
    body = world.body(asking)
    with asked_and_waiting(world, asking, world.signed(body, key=key)) as waiting:
        age(world, waiting.exchange, lease_until=SystemClock().now() - timedelta(seconds=1))
        retry = world.signed(body, key=key)
        answer = world.send(retry)
        problem = problem_of(world, retry, answer)
        assert (answer.status, problem["code"]) == (409, "exchange_abandoned")
        assert receipt_in(world, retry, problem).outcome == "abandoned"
        decided = exchange_row(world, waiting.exchange).decision_record
        late = waiting.let_answer()
    assert late.status == 409
    assert json.loads(late.body)["code"] == "exchange_abandoned"
    assert b"eyJ" not in late.body.replace(problem["receipt"].encode(), b"")
    assert exchange_row(world, waiting.exchange).decision_record == decided
    assert world.outcomes_of(waiting.exchange) == ["abandoned"]
    # Under a new key it is a new question.
    assert world.send(world.signed(body)).status == 200


def test_ten_first_attempts_at_once_are_one_exchange(world: World) -> None:
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    attempts = [world.signed(body, key=key) for _ in range(10)]
    with ThreadPoolExecutor(10) as senders:
        answers = list(senders.map(world.send, attempts))
    good = {answer.body for answer in answers if answer.status == 200}
    assert len(good) == 1
    codes = {json.loads(answer.body)["code"] for answer in answers if answer.status != 200}
    assert codes <= {"still_running"}
    exchange = json.loads(good.pop())["exchange"]
    assert world.outcomes_of(exchange).count("disclosed") == 1
    with world.gateway.database.read() as session:
        rows = session.query(ExchangeRow).where(ExchangeRow.service == asking.service).all()
    assert [str(row.id) for row in rows] == [exchange]
    assert len(world.questions(exchange)) == 1
    assert world.send(world.signed(body, key=key)).status == 200
    world.assert_log_verifies()


def test_the_database_holds_neither_the_key_nor_the_record(world: World) -> None:
    """Whoever reads the database has no answer, and cannot make one out of what is there."""
    key = str(uuid.uuid4())
    answer = json.loads(world.send(world.signed(world.body(world.asking()), key=key)).body)
    row = exchange_row(world, answer["exchange"])
    stored = repr({column.name: getattr(row, column.name) for column in ExchangeRow.__table__.columns})
    assert row.answer is not None
    # What the provider signed is kept as evidence: it holds digests, and none of the disclosures that they are of.
    signed, *disclosures, _ = answer["record"].split("~")
    assert row.provider_jwt == signed
    for secret in (key, *disclosures, "targeted", "QQ123456C", "Testcase"):
        assert secret not in stored
        assert secret.encode() not in row.answer
