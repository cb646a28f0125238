"""A consumer whose tokens are bound to a key proves it, asks once for many threads, and takes up a server's nonce."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from gateway.sdk.consumer import Answer, Consumer, Refusal
from gateway.wire.dpop import ProvedRequest, verify_proof
from gateway.wire.keys import thumbprint
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import ISSUER
from tests.sdk.standing_in import CLIENT, StandIn

EXCHANGES = f"{ISSUER}/sharing/v1/exchanges"
KEY = PrivateKeySigner.generate("ES256")


@pytest.fixture
def gateway(clock: FrozenClock) -> StandIn:
    return StandIn(clock=clock)


def consumer(gateway: StandIn, clock: FrozenClock, **options: Any) -> Consumer:
    signer = PrivateKeySigner.generate("ES256")
    return Consumer(ISSUER, CLIENT, signer, clock=clock, documents=gateway.documents(), **options)


def ask(consumer: Consumer, *, token: str | None = None) -> Answer | Refusal:
    return consumer.ask(
        service="dwp/free-school-meals/v1",
        purpose="free-school-meals",
        subject={"sub": "pairwise-for-blackburn"},
        fields=["eligible", "tier"],
        access_token=token,
    )


def test_a_bound_token_is_shown_with_a_proof_of_its_own_that_the_signature_covers(
    gateway: StandIn, clock: FrozenClock
) -> None:
    bound = consumer(gateway, clock, dpop=KEY)
    ask(bound, token="an-officers-token")
    ask(bound, token="an-officers-token")
    proofs = set()
    for request in gateway.requests:
        assert request.headers["Authorization"] == "DPoP an-officers-token"
        proof = verify_proof(
            request.headers["DPoP"],
            ProvedRequest(method="POST", addresses=[EXCHANGES], access_token="an-officers-token", now=clock.now()),
        )
        assert proof.jkt == thumbprint(KEY.public_jwk())
        proofs.add(proof.jti)
        assert '"dpop"' in request.headers["Signature-Input"]
    assert len(proofs) == 2


def test_a_nonce_that_the_server_wants_is_put_into_the_next_proof(gateway: StandIn, clock: FrozenClock) -> None:
    def wants_nonce(request: HttpRequest) -> HttpResponse:
        proved = ProvedRequest(method="POST", addresses=[EXCHANGES], access_token="an-officers-token", now=clock.now())
        if verify_proof(request.headers["DPoP"], proved).nonce == "the-servers-nonce":
            return gateway.disclosure(request)
        refused = gateway.problem(request, 401, "use_dpop_nonce")
        return replace(refused, headers={**refused.headers, "DPoP-Nonce": "the-servers-nonce"})

    gateway.respond = wants_nonce
    assert isinstance(ask(consumer(gateway, clock, dpop=KEY), token="an-officers-token"), Answer)
    assert len(gateway.requests) == 2


def test_a_bearers_token_is_shown_without_a_proof(gateway: StandIn, clock: FrozenClock) -> None:
    ask(consumer(gateway, clock))
    [request] = gateway.requests
    assert request.headers["Authorization"] == "Bearer token-1"
    assert "DPoP" not in request.headers


def test_threads_share_one_consumer_one_token_and_no_answer(gateway: StandIn, clock: FrozenClock) -> None:
    shared = consumer(gateway, clock)
    together = threading.Barrier(8)

    def one(number: int) -> tuple[int, str]:
        together.wait(timeout=10)
        answer = shared.ask(
            service="dwp/free-school-meals/v1",
            purpose="free-school-meals",
            subject={"sub": f"person-{number}"},
            fields=["eligible", "tier"],
        )
        return number, answer.receipt.request_digest

    with ThreadPoolExecutor(8) as threads:
        digests = dict(threads.map(one, range(8)))
    # Each thread was answered about its own question; `ask` refuses a receipt for any other.
    assert len(set(digests.values())) == 8
    assert gateway.tokens_issued == 1
    assert len({request.headers["Idempotency-Key"] for request in gateway.requests}) == 8
