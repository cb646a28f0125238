"""The consumer believes an answer only when everything about it holds, and asks again only for what was lost."""

import gzip
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.sdk.consumer import Answer, AnswerNotBelievable, Consumer, NotAnswered, Refusal
from gateway.sdk.metadata import MAX_DOCUMENT_BYTES, GatewayUnreachable
from gateway.sdk.possession import ClientCertificate
from gateway.sdk.sending import MAX_ANSWER_BYTES
from gateway.wire.encoding import b64url_encode
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import EXCHANGE, ISSUER
from tests.sdk.standing_in import CLIENT, FIELDS, NeverAnswered, StandIn

STRANGER = PrivateKeySigner.generate("ES256")
ANOTHER_EXCHANGE = "0193a5c0-7c00-7000-8000-00000000dead"

Lie = Callable[[StandIn, HttpRequest], HttpResponse]


@pytest.fixture
def gateway(clock: FrozenClock) -> StandIn:
    return StandIn(clock=clock)


@pytest.fixture
def consumer(gateway: StandIn, clock: FrozenClock) -> Consumer:
    signer = PrivateKeySigner.generate("ES256")
    return Consumer(ISSUER, CLIENT, signer, clock=clock, documents=gateway.documents())


def ask(consumer: Consumer, **changes: object) -> Answer | Refusal:
    question = {
        "service": "dwp/free-school-meals/v1",
        "purpose": "free-school-meals",
        "subject": {"sub": "pairwise-for-blackburn"},
        "fields": ["eligible", "tier"],
        "access_token": "an-officers-token",
        **changes,
    }
    return consumer.ask(**question)  # type: ignore[arg-type]


def test_a_good_answer_is_believed_and_says_what_was_proved(consumer: Consumer) -> None:
    answer = ask(consumer)
    assert isinstance(answer, Answer)
    assert answer.fields == FIELDS
    assert answer.receipt.fields_disclosed == ("eligible", "tier")
    assert len(answer.verified) == 4
    assert "targeted" not in repr(answer)


def test_a_good_refusal_is_believed_and_names_the_rules(consumer: Consumer, gateway: StandIn) -> None:
    gateway.respond = gateway.refusal
    answer = ask(consumer)
    assert isinstance(answer, Refusal)
    assert [rule.code for rule in answer.rules] == ["field_not_covered"]


def changed_value(gateway: StandIn) -> str:
    """A record in which one disclosure says something else than the provider signed."""
    jwt, _first, *others = gateway.record().split("~")
    forged = b64url_encode(json.dumps(["salt-of-our-own-making", "eligible", False]).encode())
    return "~".join([jwt, forged, *others])


def one_left_out(gateway: StandIn) -> str:
    jwt, first, *_others = gateway.record().split("~")
    return f"{jwt}~{first}~"


def body_changed(gateway: StandIn, request: HttpRequest) -> HttpResponse:
    good = gateway.disclosure(request)
    return replace(good, body=good.body + b" ")


def unsigned(gateway: StandIn, request: HttpRequest) -> HttpResponse:
    return replace(gateway.disclosure(request), headers={})


def signed_by_a_stranger(gateway: StandIn, request: HttpRequest) -> HttpResponse:
    gateway.published, gateway.signer = gateway.signer, STRANGER
    return gateway.disclosure(request, receipt_signer=gateway.published)


def signed_long_ago(gateway: StandIn, request: HttpRequest) -> HttpResponse:
    then = StandIn(clock=FrozenClock(gateway.clock.now()), signer=gateway.signer, provider=gateway.provider)
    then.clock.advance(seconds=-61)
    return then.disclosure(request)


LIES: dict[str, Lie] = {
    "changed after it was signed": body_changed,
    "not signed": unsigned,
    "signed by a stranger": signed_by_a_stranger,
    "signed long ago": signed_long_ago,
    "not JSON": lambda g, r: g.sign(HttpResponse(status=200, body=b"<html>"), r),
    "a receipt for another request": lambda g, r: g.disclosure(r, receipt={"request_digest": "x" * 43}),
    "a receipt of another exchange": lambda g, r: g.disclosure(r, receipt={"exchange": ANOTHER_EXCHANGE}),
    "an exchange that is a path": lambda g, r: g.disclosure(
        r,
        record=g.record(jti="/etc/cron.d/x"),
        receipt={"exchange": "/etc/cron.d/x"},
        content={"exchange": "/etc/cron.d/x"},
    ),
    "a refused exchange that is a path": lambda g, r: g.refusal(r, exchange="../x", content={"exchange": "../x"}),
    "a failed exchange that is a path": lambda g, r: g.problem(r, 504, "provider_timeout", exchange="../x"),
    "an exchange in another spelling": lambda g, r: g.disclosure(
        r,
        record=g.record(jti=EXCHANGE.upper()),
        receipt={"exchange": EXCHANGE.upper()},
        content={"exchange": EXCHANGE.upper()},
    ),
    "a receipt by a stranger": lambda g, r: g.disclosure(r, receipt_signer=STRANGER),
    "a receipt that is none": lambda g, r: g.disclosure(r, content={"receipt": "e30.e30.e30"}),
    "a receipt of a failure": lambda g, r: g.disclosure(r, receipt={"outcome": "failed", "fields_disclosed": ()}),
    "a receipt of another record": lambda g, r: g.disclosure(r, receipt={"provider_jwt_digest": "x" * 43}),
    "a receipt of fewer fields": lambda g, r: g.disclosure(r, receipt={"fields_disclosed": ("eligible",)}),
    "a receipt of another key of the provider's": lambda g, r: g.disclosure(r, receipt={"provider_key": "x" * 43}),
    "a receipt of another key than asked": lambda g, r: g.disclosure(r, receipt={"client_key": "x" * 43}),
    "a receipt without a provider": lambda g, r: g.disclosure(r, receipt={"provider": None}),
    "a record with a changed value": lambda g, r: g.disclosure(r, record=changed_value(g)),
    "a record with a field left out": lambda g, r: g.disclosure(r, record=one_left_out(g)),
    "a record with more than was asked": lambda g, r: g.disclosure(
        r,
        record=g.record(fields={**FIELDS, "award_amount": 1}),
        receipt={"fields_disclosed": ("eligible", "tier", "award_amount")},
    ),
    "a record by a stranger": lambda g, r: g.disclosure(r, record=g.record(signer=STRANGER)),
    "a record by the gateway": lambda g, r: g.disclosure(r, record=g.record(signer=g.signer)),
    "a record of another issuer": lambda g, r: g.disclosure(r, record=g.record(iss="hmrc")),
    "a record for somebody else": lambda g, r: g.disclosure(r, record=g.record(aud="E09000007")),
    "a record of another exchange": lambda g, r: g.disclosure(r, record=g.record(jti=ANOTHER_EXCHANGE)),
    "a record about another person": lambda g, r: g.disclosure(r, record=g.record(sub="somebody-else")),
    "a record that is over": lambda g, r: g.disclosure(r, record=g.record(iat=1, exp=2)),
    "no record": lambda g, r: g.disclosure(r, content={"record": None}),
    "a refusal bound to no request": lambda g, r: g.refusal(r, binding="target"),
    "a refusal whose receipt says otherwise": lambda g, r: g.refusal(r, decision="permit", outcome="failed", rules=()),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_answer_that_does_not_hold_is_not_believed(consumer: Consumer, gateway: StandIn, lie: Lie) -> None:
    gateway.respond = lambda request: lie(gateway, request)
    with pytest.raises(AnswerNotBelievable):
        ask(consumer)


def test_an_old_answer_to_the_very_same_question_is_not_believed(consumer: Consumer, gateway: StandIn) -> None:
    """The answer is bound to the request's own signature, and every request has a new one."""
    again = {"idempotency_key": str(uuid.uuid4()), "salt": "a" * 22}
    kept: list[HttpResponse] = []

    def keep(request: HttpRequest) -> HttpResponse:
        kept.append(gateway.disclosure(request))
        return kept[0]

    gateway.respond = keep
    assert isinstance(ask(consumer, **again), Answer)
    with pytest.raises(AnswerNotBelievable):
        ask(consumer, **again)


def test_a_lost_answer_is_asked_for_again_under_the_same_key(consumer: Consumer, gateway: StandIn) -> None:
    def lost_once(request: HttpRequest) -> HttpResponse:
        if len(gateway.requests) == 1:
            raise NeverAnswered
        return gateway.disclosure(request)

    gateway.respond = lost_once
    assert isinstance(ask(consumer), Answer)
    first, second = gateway.requests
    assert first.body == second.body
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.headers["Signature-Input"] != second.headers["Signature-Input"]


@pytest.mark.parametrize(
    ("status", "code"), [(409, "still_running"), (503, "database_unavailable")], ids=["running", "unavailable"]
)
def test_an_unfinished_answer_is_waited_for(consumer: Consumer, gateway: StandIn, status: int, code: str) -> None:
    gateway.respond = lambda request: (
        gateway.problem(request, status, code, {"Retry-After": "1"})
        if len(gateway.requests) == 1
        else gateway.disclosure(request)
    )
    began = SystemClock().now()
    assert isinstance(ask(consumer), Answer)
    assert (SystemClock().now() - began).total_seconds() >= 1
    assert len({request.headers["Idempotency-Key"] for request in gateway.requests}) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "invalid_token"), (409, "answer_expired"), (409, "exchange_abandoned"), (422, "invalid_request")],
)
def test_an_error_is_told_by_its_own_name_and_not_tried_again(
    consumer: Consumer, gateway: StandIn, status: int, code: str
) -> None:
    gateway.respond = lambda request: gateway.problem(request, status, code)
    with pytest.raises(NotAnswered) as raised:
        ask(consumer)
    assert (raised.value.code, raised.value.status) == (code, status)
    assert len(gateway.requests) == 1


def test_a_gateway_that_never_answers_is_given_up_on(consumer: Consumer, gateway: StandIn) -> None:
    def lost(_request: HttpRequest) -> HttpResponse:
        raise NeverAnswered

    gateway.respond = lost
    with pytest.raises(GatewayUnreachable):
        ask(consumer)
    assert 2 <= len(gateway.requests) <= 5


def test_an_error_page_of_something_in_between_is_not_the_gateways_answer(consumer: Consumer, gateway: StandIn) -> None:
    gateway.respond = lambda _request: HttpResponse(status=502, body=b"<html>bad gateway</html>")
    with pytest.raises(GatewayUnreachable):
        ask(consumer)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_the_answer_of_a_node_that_was_lost_behind_a_proxy_is_asked_for_again(
    consumer: Consumer, gateway: StandIn, status: int
) -> None:
    gateway.respond = lambda request: (
        HttpResponse(status=status, body=b"<html>no node</html>")
        if len(gateway.requests) == 1
        else gateway.disclosure(request)
    )
    assert isinstance(ask(consumer), Answer)
    first, second = gateway.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(502, "provider_unreachable"), (504, "provider_timeout"), (503, "provider_unavailable"), (503, "provider_busy")],
)
def test_what_became_of_the_department_is_the_gateways_own_answer_and_not_asked_again(
    consumer: Consumer, gateway: StandIn, status: int, code: str
) -> None:
    gateway.respond = lambda request: gateway.problem(request, status, code, receipt="a receipt")
    with pytest.raises(NotAnswered) as raised:
        ask(consumer)
    assert raised.value.code == code
    assert len(gateway.requests) == 1


def test_new_keys_of_the_gateway_are_fetched_when_an_answer_needs_them(consumer: Consumer, gateway: StandIn) -> None:
    assert isinstance(ask(consumer), Answer)
    gateway.signer = PrivateKeySigner.generate("ES256")
    assert isinstance(ask(consumer), Answer)


def test_documents_that_name_another_issuer_are_not_used(consumer: Consumer, gateway: StandIn) -> None:
    gateway.issuer_stated = "https://gateway.another.example"
    with pytest.raises(GatewayUnreachable):
        ask(consumer)
    assert gateway.requests == []


def test_a_document_without_end_is_not_read_to_its_end(consumer: Consumer, gateway: StandIn) -> None:
    gateway.padding = "x" * MAX_DOCUMENT_BYTES
    with pytest.raises(GatewayUnreachable, match="too long"):
        ask(consumer)
    assert gateway.requests == []


def test_an_answer_without_end_is_not_read_to_its_end(consumer: Consumer, gateway: StandIn) -> None:
    gateway.respond = lambda _request: HttpResponse(status=200, body=bytes(MAX_ANSWER_BYTES + 1))
    with pytest.raises(GatewayUnreachable, match="too long"):
        ask(consumer)
    assert len(gateway.requests) == 1


def test_a_token_without_end_is_not_read_to_its_end(consumer: Consumer, gateway: StandIn) -> None:
    ask(consumer)
    gateway.padding = "x" * MAX_DOCUMENT_BYTES
    with pytest.raises(GatewayUnreachable, match="too long"):
        ask(consumer, access_token=None)


def test_what_is_compressed_is_neither_asked_for_nor_undone(consumer: Consumer, gateway: StandIn) -> None:
    """A thousandth of what it becomes is sent: no limit on what is sent would hold it."""

    def compressed(request: HttpRequest) -> HttpResponse:
        good = gateway.disclosure(request)
        return replace(good, body=gzip.compress(good.body), headers={**good.headers, "Content-Encoding": "gzip"})

    gateway.respond = compressed
    with pytest.raises(GatewayUnreachable, match="compressed"):
        ask(consumer)
    assert [request.headers["Accept-Encoding"] for request in gateway.requests] == ["identity"]


ELSEWHERE = {
    "another host": {"exchanges_endpoint": "https://another.example/sharing/v1/exchanges"},
    "without TLS": {"exchanges_endpoint": ISSUER.replace("https", "http") + "/sharing/v1/exchanges"},
    "another port": {"exchanges_endpoint": f"{ISSUER}:8443/sharing/v1/exchanges"},
    "a host that begins alike": {"exchanges_endpoint": f"{ISSUER}.another.example/x"},
    "a host that looks like a name": {"exchanges_endpoint": f"{ISSUER}@another.example/x"},
    "tokens elsewhere": {"token_endpoint": "http://169.254.169.254/token"},
    "keys elsewhere": {"jwks_uri": "http://another.example/jwks.json"},
    "members' keys elsewhere": {"member_jwks_uri": "http://another.example/{member}"},
}


@pytest.mark.parametrize("stated", ELSEWHERE.values(), ids=ELSEWHERE)
def test_nothing_is_sent_to_an_address_that_is_not_the_issuers_own(
    consumer: Consumer, gateway: StandIn, stated: dict[str, str]
) -> None:
    gateway.stated.update(stated)
    with pytest.raises(GatewayUnreachable, match=f"not the issuer's own: {next(iter(stated))}"):
        ask(consumer, access_token=None)
    assert (gateway.requests, gateway.tokens_issued) == ([], 0)


@pytest.mark.parametrize(
    ("address", "used"),
    [
        ("https://mtls.gateway.example:8443/sharing/v1/exchanges", True),
        (f"{ISSUER}/with-certificate/exchanges", True),
        ("http://mtls.gateway.example/sharing/v1/exchanges", False),
        ("http://169.254.169.254/x", False),
    ],
)
def test_the_address_for_clients_with_a_certificate_may_be_another_and_then_has_tls(
    gateway: StandIn, clock: FrozenClock, *, address: str, used: bool
) -> None:
    gateway.stated["mtls_endpoint_aliases"] = {"exchanges_endpoint": address}
    certificate = ClientCertificate(certificate=Path("client.pem"), key=Path("client-key.pem"))
    documents = gateway.documents(certificate)
    if used:
        assert documents.metadata(clock.now()).exchanges_endpoint == address
    else:
        with pytest.raises(GatewayUnreachable, match="not the issuer's own"):
            documents.metadata(clock.now())
    assert gateway.documents().metadata(clock.now()).exchanges_endpoint == f"{ISSUER}/sharing/v1/exchanges"


def test_the_clients_own_token_is_kept_while_it_lasts(consumer: Consumer, gateway: StandIn, clock: FrozenClock) -> None:
    ask(consumer, access_token=None)
    ask(consumer, access_token=None)
    clock.advance(seconds=280)  # nearly over: a token must not run out on its way
    ask(consumer, access_token=None)
    assert [request.headers["Authorization"] for request in gateway.requests] == [
        "Bearer token-1",
        "Bearer token-1",
        "Bearer token-2",
    ]


def test_no_two_questions_have_a_salt_key_or_nonce_in_common(consumer: Consumer, gateway: StandIn) -> None:
    ask(consumer)
    ask(consumer)
    first, second = gateway.requests
    assert json.loads(first.body)["salt"] != json.loads(second.body)["salt"]
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]
