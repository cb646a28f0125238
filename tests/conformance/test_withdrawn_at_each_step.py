"""Whatever permits a disclosure is taken away at each step of an exchange: nothing is released after that commits.

The steps: before the decision, before the question reaches the provider, while the provider answers, when its answer
has come and the outcome is about to be decided, in the moment of release, before a retry.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from sqlalchemy.orm import Session

from gateway.clock import SystemClock
from gateway.demo.layout import BLACKBURN, DWP, PROVIDER_CLIENT
from gateway.directory.members import (
    Client,
    find_registration,
    list_members,
    record_client,
    record_member,
)
from gateway.identity.accounts import account_name, reinstate_account, suspend_account
from gateway.identity.models import AccountRow
from gateway.release_lock import wait_for_releases
from gateway.sharing.catalogue.services import find_service, record_service
from gateway.sharing.exchange.people.restrictions import record_restriction
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.expectations import exchange_row, problem_of, receipt_in
from tests.conformance.held import (
    Change,
    changed_before_the_decision,
    changed_before_the_release,
    department_stopped,
    exchange_of,
    releasing,
    waiting_for_a_lock,
)
from tests.conformance.others import Other, another_client, officer_token_of
from tests.conformance.while_answering import asked_and_waiting, gated
from tests.faults.pressure import wait_until
from tests.kit.world import Asking, World, token_claims


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A system with an officer behind it, which any of these tests may suspend."""

    other: Other
    token: str

    def request(self, world: World, asking: Asking, *, key: str | None = None, nonce: str | None = None) -> HttpRequest:
        return self.signed(world, world.body(asking), key=key, nonce=nonce)

    def signed(
        self, world: World, body: dict[str, object], *, key: str | None, nonce: str | None = None
    ) -> HttpRequest:
        return world.signed(
            body,
            key=key,
            nonce=nonce,
            token=self.token,
            signer=self.other.signer,
            client_id=self.other.client_id,
        )


@pytest.fixture(scope="module")
def asker(world: World) -> Asker:
    other = another_client(world)
    return Asker(other=other, token=officer_token_of(world, other))


def client_as_it_is(session: Session, client_id: str) -> Client:
    found = find_registration(session, client_id)
    assert found is not None
    return found[0]


def change_client(session: Session, client_id: str, **changes: object) -> None:
    client = replace(client_as_it_is(session, client_id), **changes)  # type: ignore[arg-type]
    assert record_client(session, client, at=SystemClock().now())


def change_member(session: Session, code: str, *, active: bool) -> None:
    member = next(member for member in list_members(session) if member.code == code)
    assert record_member(session, replace(member, active=active), at=SystemClock().now())


def change_roles(session: Session, world: World, asker: Asker, roles: list[str]) -> None:
    account = account_of(world, asker)
    wait_for_releases(session, account_name(account))
    session.get_one(AccountRow, account).roles = roles


def account_of(world: World, asker: Asker) -> uuid.UUID:
    with world.gateway.database.read() as session:
        found = world.gateway.people.pairwise.find_account(session, token_claims(asker.token)["sub"], BLACKBURN)
    assert found is not None
    return found


Act = Callable[[Session, World, Asker, Asking], None]
ANOTHER_KEY = PrivateKeySigner.generate("ES256").public_jwk()


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Something that permits a disclosure: how it is taken away and given back, and what the consumer is told then."""

    take: Act
    give_back: Act = lambda *_: None
    codes: tuple[str, ...]
    """The rules that fail; where the provider is what is gone, the name of the failure."""
    fails: bool = False


def suspended(session: Session, world: World, _asker: Asker, asking: Asking) -> None:
    world.suspend(asking, session)


def withdrawn_service(session: Session, _world: World, _asker: Asker, asking: Asking) -> None:
    service = find_service(session, asking.service)
    assert service is not None
    record_service(session, replace(service, active=False), at=SystemClock().now())


def restricted(session: Session, world: World, _asker: Asker, asking: Asking) -> None:
    row = exchange_of(world, asking)
    assert row is not None
    record_restriction(session, subject=row.subject, service=asking.service, at=SystemClock().now())


WITHDRAWALS = {
    "the agreement": Withdrawal(take=suspended, codes=("agreement_suspended",)),
    "the service": Withdrawal(take=withdrawn_service, codes=("service_not_active",)),
    "the person": Withdrawal(take=restricted, codes=("no_record",)),
    "the asking system": Withdrawal(
        take=lambda session, _world, asker, _: change_client(session, asker.other.client_id, active=False),
        give_back=lambda session, _world, asker, _: change_client(session, asker.other.client_id, active=True),
        codes=("caller_not_consumer",),
    ),
    "the asking system's key": Withdrawal(
        take=lambda session, _world, asker, _: change_client(session, asker.other.client_id, keys=(ANOTHER_KEY,)),
        give_back=lambda session, _world, asker, _: change_client(
            session, asker.other.client_id, keys=asker.other.client.keys
        ),
        codes=("key_withdrawn",),
    ),
    "the asking member": Withdrawal(
        take=lambda session, *_: change_member(session, BLACKBURN, active=False),
        give_back=lambda session, *_: change_member(session, BLACKBURN, active=True),
        codes=("caller_not_consumer", "consumer_signature_missing"),
    ),
    "the officer": Withdrawal(
        take=lambda session, world, asker, _: suspend_account(
            session, account_of(world, asker), at=SystemClock().now()
        ),
        give_back=lambda session, world, asker, _: reinstate_account(
            session, account_of(world, asker), at=SystemClock().now()
        ),
        codes=("role_not_covered",),
    ),
    "the officer's role": Withdrawal(
        take=lambda session, world, asker, _: change_roles(session, world, asker, ["somebody-else"]),
        give_back=lambda session, world, asker, _: change_roles(session, world, asker, ["benefits-officer"]),
        codes=("role_not_covered",),
    ),
    "the providing member": Withdrawal(
        take=lambda session, *_: change_member(session, DWP, active=False),
        give_back=lambda session, *_: change_member(session, DWP, active=True),
        codes=("provider_signature_missing",),
    ),
    "the providing system": Withdrawal(
        take=lambda session, *_: change_client(session, PROVIDER_CLIENT, active=False),
        give_back=lambda session, *_: change_client(session, PROVIDER_CLIENT, active=True),
        codes=("provider_unreachable",),
        fails=True,
    ),
    "the providing system's key": Withdrawal(
        take=lambda session, *_: change_client(session, PROVIDER_CLIENT, keys=(ANOTHER_KEY,)),
        give_back=lambda session, world, *_: change_client(
            session, PROVIDER_CLIENT, keys=(world.signer(PROVIDER_CLIENT).public_jwk(),)
        ),
        codes=("provider_answer_unsigned",),
        fails=True,
    ),
}
each = pytest.mark.parametrize("withdrawal", WITHDRAWALS.values(), ids=WITHDRAWALS)


@contextmanager
def given_back(withdrawal: Withdrawal, world: World, asker: Asker, asking: Asking) -> Iterator[Change]:
    """What takes it away in a session; it is there again after the block."""
    try:
        yield lambda session: withdrawal.take(session, world, asker, asking)
    finally:
        with world.gateway.database.write() as session:
            withdrawal.give_back(session, world, asker, asking)


def assert_withheld(world: World, request: HttpRequest, answer: HttpResponse, withdrawal: Withdrawal) -> str:
    """Nothing was released, and the answer, its receipt and the log say why; the exchange's id."""
    problem = problem_of(world, request, answer)
    told = [problem["code"]] if withdrawal.fails else [rule["code"] for rule in problem["rules"]]
    assert told == list(withdrawal.codes)
    receipt = receipt_in(world, request, problem)
    assert receipt.outcome == ("failed" if withdrawal.fails else "refused")
    assert (receipt.fields_disclosed, receipt.provider_jwt_digest) == ((), None)
    assert b"targeted" not in answer.body
    assert exchange_row(world, receipt.exchange).fields_disclosed == []
    assert world.outcomes_of(receipt.exchange) == [receipt.outcome]
    return receipt.exchange


@each
def test_withdrawn_while_the_provider_answers(world: World, asker: Asker, withdrawal: Withdrawal) -> None:
    asking = gated_for(world, asker)
    request = asker.request(world, asking)
    with (
        given_back(withdrawal, world, asker, asking) as take,
        asked_and_waiting(world, asking, request) as waiting,
    ):
        with world.gateway.database.write() as session:
            take(session)
        answer = waiting.let_answer()
    assert_withheld(world, request, answer, withdrawal)


@each
def test_withdrawn_when_the_outcome_is_about_to_be_decided(world: World, asker: Asker, withdrawal: Withdrawal) -> None:
    asking = gated_for(world, asker)
    request = asker.request(world, asking)
    with given_back(withdrawal, world, asker, asking) as take:
        answer = changed_before_the_release(world, asking, request, take)
    assert_withheld(world, request, answer, withdrawal)


@each
def test_withdrawn_before_a_retry(world: World, asker: Asker, withdrawal: Withdrawal) -> None:
    asking = world.asking(answer_seconds=2.0, conditions__clients=[asker.other.client_id])
    key = str(uuid.uuid4())
    body = world.body(asking)
    first = world.send(asker.signed(world, body, key=key))
    assert first.status == 200
    with given_back(withdrawal, world, asker, asking) as take:
        with world.gateway.database.write() as session:
            take(session)
        retry = asker.signed(world, body, key=key)
        answer = world.send(retry)
    assert answer.status in {401, 403, 409}
    assert b"targeted" not in answer.body
    assert json.loads(first.body)["record"].encode() not in answer.body
    exchange = json.loads(first.body)["exchange"]
    assert "repeated" not in world.outcomes_of(exchange)
    # What was disclosed before was disclosed: the exchange stays as it ended.
    assert exchange_row(world, exchange).state == "disclosed"


@pytest.mark.parametrize("name", ["the agreement", "the service", "the officer's role", "the providing system"])
def test_withdrawn_before_the_decision(world: World, asker: Asker, name: str) -> None:
    withdrawal, nonce = WITHDRAWALS[name], uuid.uuid4().hex
    asking = world.asking(conditions__clients=[asker.other.client_id])
    request = asker.request(world, asking, nonce=nonce)
    owner = f"{asker.other.client_id}#{asker.other.signer.key_id}"
    with given_back(withdrawal, world, asker, asking) as take:
        answer = changed_before_the_decision(world, request, take, nonce=nonce, signed_by=owner)
    exchange = assert_withheld(world, request, answer, withdrawal)
    assert world.asked_of_department(exchange) is None, "somebody was asked all the same"


@pytest.mark.parametrize("name", ["the agreement", "the asking system's key", "the providing system's key"])
def test_withdrawn_before_the_question_reaches_the_provider(world: World, asker: Asker, name: str) -> None:
    """The department's machine has taken the connection and nobody there has read it."""
    withdrawal, asking = WITHDRAWALS[name], gated_for(world, asker)
    request = asker.request(world, asking)
    world.open_gate(asking)
    with (
        given_back(withdrawal, world, asker, asking) as take,
        department_stopped(world) as goes_on,
        ThreadPoolExecutor(1) as sender,
    ):
        answer = sender.submit(world.send, request)
        wait_until(lambda: exchange_of(world, asking) is not None, within_seconds=20)
        opened = exchange_of(world, asking)
        assert opened is not None
        with world.gateway.database.write() as session:
            take(session)
        assert world.asked_of_department(str(opened.id)) is None
        goes_on()
        assert_withheld(world, request, answer.result(timeout=30), withdrawal)


@pytest.mark.postgresql
@each
def test_whoever_withdraws_in_the_moment_of_release_waits_for_it(
    world: World, asker: Asker, withdrawal: Withdrawal
) -> None:
    """Once the worker has decided for the last time, it is the withdrawal that comes later, and says so by waiting."""
    asking = gated_for(world, asker)
    request = asker.request(world, asking)

    def take_in_time() -> None:
        with world.gateway.database.write() as session:
            take(session)

    with (
        given_back(withdrawal, world, asker, asking) as take,
        ThreadPoolExecutor(1) as other,
    ):
        with releasing(world, asking, request) as answer:
            taken = other.submit(take_in_time)
            wait_until(lambda: taken.done() or waiting_for_a_lock(world, query="%pg_advisory%") > 0, within_seconds=20)
            assert not taken.done(), "it was taken away, and what it permitted is released all the same"
        taken.result(timeout=30)
        assert answer.result().status == 200


def gated_for(world: World, asker: Asker) -> Asking:
    return gated(world, answer_seconds=3.0, conditions__clients=[asker.other.client_id])
