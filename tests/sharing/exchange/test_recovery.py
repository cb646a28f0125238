"""What happens to exchanges that nobody finished, and to answers that nobody came back for."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from gateway.app import Gateway
from gateway.audit.recorded import find_events
from gateway.db import new_id
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.outcomes import Ending, close_abandoned, forget_answers
from gateway.signing.signing_keys import Purpose
from gateway.wire.receipts import verify_receipt
from tests.kit.clock import FrozenClock


def record_exchange(gateway: Gateway, **changes: Any) -> UUID:
    """An exchange whose provider is being asked."""
    now = gateway.clock.now()
    values: dict[str, Any] = {
        "id": new_id(),
        "state": "open",
        "retry_mac": new_id().bytes * 2,
        "request_digest": "r" * 43,
        "client_id": "portal",
        "consumer": "E06000008",
        "provider": "dwp",
        "officer_account": None,
        "service": "dwp/free-school-meals/v1",
        "purpose": "free-school-meals",
        "agreement": "DSA-003",
        "agreement_version": 1,
        "legal_gateway": "education-act-2005-s110",
        "policy_digest": "p" * 43,
        "subject": "a-reference",
        "subject_sub": None,
        "handle": "a-handle",
        "requested_fields": ["eligible"],
        "decision": "permit",
        "decision_record": {},
        "rules": [],
        "fields_disclosed": [],
        "fields_withheld": [],
        "opened_at": now,
        "lease_until": now + timedelta(seconds=30),
        **changes,
    }
    with gateway.database.write() as session:
        session.add(ExchangeRow(**values))
    exchange: UUID = values["id"]
    return exchange


def closed_abandoned(gateway: Gateway, **limits: int) -> int:
    with gateway.database.write() as session:
        return close_abandoned(session, gateway.registrar, now=gateway.clock.now(), **limits)


def row_of(gateway: Gateway, exchange: UUID) -> ExchangeRow:
    with gateway.database.read() as session:
        return session.get_one(ExchangeRow, exchange)


def events_of(gateway: Gateway, exchange: UUID) -> list[str]:
    with gateway.database.read() as session:
        return [event.name for event in find_events(session, reference=str(exchange))]


def test_an_exchange_is_left_alone_while_its_lease_runs(gateway: Gateway, clock: FrozenClock) -> None:
    exchange = record_exchange(gateway)
    clock.advance(seconds=30)
    assert closed_abandoned(gateway) == 0
    assert row_of(gateway, exchange).state == "open"


def test_after_its_lease_it_is_closed_once_with_entry_and_receipt(gateway: Gateway, clock: FrozenClock) -> None:
    exchange = record_exchange(gateway)
    clock.advance(seconds=31)
    assert closed_abandoned(gateway) == 1
    assert closed_abandoned(gateway) == 0
    row = row_of(gateway, exchange)
    assert (row.state, row.closed_at, row.answer) == ("abandoned", clock.now(), None)
    receipt = verify_receipt(row.receipt or "", keys=gateway.signing.public_jwks(Purpose.EXCHANGE))
    assert (receipt.exchange, receipt.outcome, receipt.fields_disclosed) == (str(exchange), "abandoned", ())
    assert events_of(gateway, exchange) == ["sharing.exchange.abandoned"]


def test_whoever_comes_after_recovery_concludes_nothing(gateway: Gateway, clock: FrozenClock) -> None:
    exchange = record_exchange(gateway)
    clock.advance(seconds=31)
    closed_abandoned(gateway)
    receipt = row_of(gateway, exchange).receipt
    with gateway.database.write() as session:
        row = session.get_one(ExchangeRow, exchange)
        late = Ending(outcome="refused", decision="deny")
        key = "6f1c6f1e-1d0f-4a63-a38f-4b9d7a2f0a11"
        assert gateway.registrar.conclude(session, row, late, idempotency_key=key, at=clock.now()) is None
    row = row_of(gateway, exchange)
    assert (row.state, row.receipt, row.answer) == ("abandoned", receipt, None)
    assert events_of(gateway, exchange) == ["sharing.exchange.abandoned"]


def test_recovery_works_in_bounded_steps_the_oldest_first(gateway: Gateway, clock: FrozenClock) -> None:
    older = [record_exchange(gateway) for _ in range(3)]
    clock.advance(seconds=1)
    newest = record_exchange(gateway)
    clock.advance(seconds=40)
    assert closed_abandoned(gateway, limit=3) == 3
    assert row_of(gateway, newest).state == "open"
    assert {row_of(gateway, exchange).state for exchange in older} == {"abandoned"}


def test_kept_answers_are_forgotten_when_their_time_is_over(gateway: Gateway, clock: FrozenClock) -> None:
    kept_until = clock.now() + timedelta(minutes=15)
    kept = {"state": "disclosed", "answer": b"sealed", "answer_status": 200, "answer_until": kept_until}
    exchange = record_exchange(gateway, receipt="a receipt", **kept)
    clock.advance(minutes=15)
    with gateway.database.write() as session:
        assert forget_answers(session, now=clock.now()) == 0
    clock.advance(seconds=1)
    with gateway.database.write() as session:
        assert forget_answers(session, now=clock.now()) == 1
    row = row_of(gateway, exchange)
    # The record is gone; that it was disclosed stays.
    assert (row.answer, row.state, row.receipt) == (None, "disclosed", "a receipt")
