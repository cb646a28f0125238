"""The provider kit answers the gateway's questions, each once, and nobody else's."""

import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest

from gateway.sdk.nonces import Nonces, SeenNonces, SharedNonces
from gateway.sdk.provider import (
    AgreedCheck,
    AnswerFunction,
    AskedQuestion,
    Found,
    NoRecord,
    Provider,
    RecordUnusable,
)
from gateway.wire.contracts import EXCHANGE_TAG, MAX_REQUEST_BYTES, PROVIDER_TAG, RECORD_TYP
from gateway.wire.errors import InvalidMessageSignature
from gateway.wire.jws import unverified_claims
from gateway.wire.keys import SIGNING_ALGORITHMS
from gateway.wire.message_signatures import HttpRequest, HttpResponse, content_digest, sign_request, verify_response
from gateway.wire.sd_jwt import verify_sd_jwt
from gateway.wire.sealed_disclosures import DecryptionKey
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import EXCHANGE, ISSUER
from tests.sdk.standing_in import CONSUMER, HANDLE, StandIn

ORIGIN = "https://api.dwp.example"
SERVICE = "dwp/free-school-meals/v1"
ENDPOINT = f"{ORIGIN}/free-school-meals"
QUESTION = {
    "exchange": EXCHANGE,
    "service": SERVICE,
    "purpose": "free-school-meals",
    "agreement": "DSA-003",
    "consumer": CONSUMER,
    "subject": {"sub": "the-departments-own-name"},
    "handle": HANDLE,
    "fields": ["eligible", "tier"],
    "audience": CONSUMER,
}

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"eligible": {"type": "boolean"}, "tier": {"enum": ["targeted", "expanded", None]}},
}


class Department:
    """A department behind the kit, and what it was asked."""

    def __init__(
        self,
        gateway: StandIn,
        clock: FrozenClock,
        *,
        function: AnswerFunction | None = None,
        nonces: Nonces | None = None,
        **kept: Any,
    ) -> None:
        self.gateway, self.clock = gateway, clock
        self.asked: list[AskedQuestion] = []
        self.found: Mapping[str, Any] | Found | NoRecord = {
            "eligible": True,
            "tier": "targeted",
            "award_amount": 54_210,
        }
        self.provider = Provider(
            member="dwp",
            key=gateway.provider,
            gateway=ISSUER,
            origin=ORIGIN,
            services={SERVICE: function or self._answer},
            nonces=nonces,
            clock=clock,
            documents=gateway.documents(),
            **{"schemas": {SERVICE: SCHEMA}, **kept},
        )

    def _answer(self, question: AskedQuestion) -> Mapping[str, Any] | Found | NoRecord:
        self.asked.append(question)
        return self.found

    def post(self, request: HttpRequest, *, length: str | None = None) -> HttpResponse:
        """Send the request through the WSGI door."""
        started: list[Any] = []
        environ = {
            "REQUEST_METHOD": request.method,
            "RAW_URI": request.target_uri.removeprefix(ORIGIN),
            "PATH_INFO": request.target_uri.removeprefix(ORIGIN).partition("?")[0],
            "CONTENT_LENGTH": str(len(request.body)) if length is None else length,
            "wsgi.input": io.BytesIO(request.body),
        }
        for name, value in request.headers.items():
            environ["CONTENT_TYPE" if name == "Content-Type" else f"HTTP_{name.upper().replace('-', '_')}"] = value
        body = b"".join(self.provider.wsgi(environ, lambda *given: started.extend(given)))
        return HttpResponse(status=int(started[0].split()[0]), headers=dict(started[1]), body=body)


@pytest.fixture
def department(clock: FrozenClock) -> Department:
    return Department(StandIn(clock=clock), clock)


def question(department: Department, body: Mapping[str, Any] | bytes = QUESTION, **changes: Any) -> HttpRequest:
    """A question of the gateway's; `changes` replace what it is signed with."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = HttpRequest(
        method="POST", target_uri=ENDPOINT, headers={"Content-Type": "application/json"}, body=content
    )
    how: dict[str, Any] = {
        "signer": department.gateway.signer,
        "client_id": ISSUER,
        "nonce": "a-nonce-of-its-own",
        "created": department.clock.now(),
        "tag": PROVIDER_TAG,
        **changes,
    }
    return sign_request(request, **how)


def assert_refused(department: Department, request: HttpRequest) -> None:
    response = department.post(request)
    assert response.status == 401
    assert json.loads(response.body)["code"] == "question_refused"
    # Nothing is signed for somebody who proved nothing, and the department was not even asked.
    assert "Signature" not in response.headers
    assert department.asked == []


def test_a_question_is_answered_for_the_consumer_and_this_exchange_alone(department: Department) -> None:
    request = question(department)
    response = department.post(request)
    assert response.status == 200
    keys = [department.gateway.provider.public_jwk()]
    now = department.clock.now()
    verified = verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=now)
    assert verified.binding == "request"
    record = verify_sd_jwt(
        json.loads(response.body)["record"],
        keys=keys,
        typ=RECORD_TYP,
        algorithms=SIGNING_ALGORITHMS,
        issuer="dwp",
        audience=CONSUMER,
        now=now,
    )
    assert record.claims["jti"] == EXCHANGE
    assert record.claims["sub"] == HANDLE
    # Only what was asked for, though the department's function returned more.
    assert record.fields == {"eligible": True, "tier": "targeted"}
    assert department.asked[0].subject == {"sub": "the-departments-own-name"}
    assert "the-departments-own-name" not in repr(department.asked[0])


@pytest.mark.parametrize("reason", ["unknown", "ambiguous", "withheld"])
def test_no_record_is_told_to_the_gateway_with_its_reason(department: Department, reason: Any) -> None:
    department.found = NoRecord(reason=reason)
    request = question(department)
    response = department.post(request)
    keys = [department.gateway.provider.public_jwk()]
    verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=department.clock.now())
    problem = json.loads(response.body)
    assert (response.status, problem["code"], problem["reason"]) == (404, "no_record", reason)


def test_a_question_that_nobody_signed(department: Department) -> None:
    signed = question(department)
    bare = {name: value for name, value in signed.headers.items() if not name.startswith("Signature")}
    assert_refused(department, replace(signed, headers=bare))


def test_a_question_sent_again(department: Department) -> None:
    request = question(department)
    assert department.post(request).status == 200
    department.asked.clear()
    assert_refused(department, request)


def test_a_nonce_is_remembered_for_as_long_as_its_signature_could_be_accepted(department: Department) -> None:
    ahead = question(department, created=FrozenClock(department.clock.now()).advance(seconds=4))
    assert department.post(ahead).status == 200
    department.clock.advance(seconds=63)  # 59 s after `created`: the signature alone would still be good
    department.asked.clear()
    assert_refused(department, ahead)


@pytest.mark.parametrize("target", ["/free-school-meals?for=another", "/free%2Dschool-meals", "/another-service"])
def test_a_question_to_another_place(department: Department, target: str) -> None:
    assert_refused(department, replace(question(department), target_uri=ORIGIN + target))


def test_a_question_meant_for_another_department(department: Department) -> None:
    """Signed well by the gateway, for another origin: a department must not pass questions on as its own."""
    elsewhere = HttpRequest(
        method="POST", target_uri="https://api.hmrc.example/free-school-meals", body=json.dumps(QUESTION).encode()
    )
    signed = sign_request(
        elsewhere,
        signer=department.gateway.signer,
        client_id=ISSUER,
        nonce="a-nonce-of-its-own",
        created=department.clock.now(),
        tag=PROVIDER_TAG,
    )
    assert_refused(department, replace(signed, target_uri=ENDPOINT))


def test_a_question_in_another_issuers_name(department: Department) -> None:
    assert_refused(department, question(department, client_id="https://gateway.another.example"))


def test_a_question_by_a_key_that_the_gateway_does_not_state(department: Department) -> None:
    assert_refused(department, question(department, signer=PrivateKeySigner.generate("ES256")))


def test_a_signature_of_the_gateways_for_another_use(department: Department) -> None:
    assert_refused(department, question(department, tag=EXCHANGE_TAG))


@pytest.mark.parametrize("seconds", [-61, 6])
def test_a_question_of_another_time(department: Department, seconds: int) -> None:
    then = FrozenClock(department.clock.now()).advance(seconds=seconds)
    assert_refused(department, question(department, created=then))


def test_keys_that_nobody_knows_make_it_fetch_the_gateways_once_in_a_while(
    department: Department, clock: FrozenClock
) -> None:
    """Anybody can name such keys: each request of a stranger would be one of ours to the gateway."""

    def fetched() -> int:
        return department.gateway.fetched.count("/sharing/v1/jwks.json")

    for _ in range(20):
        assert_refused(department, question(department, signer=PrivateKeySigner.generate("Ed25519")))
    assert fetched() == 2
    clock.advance(seconds=11)
    assert_refused(department, question(department, signer=PrivateKeySigner.generate("Ed25519")))
    assert fetched() == 3
    # A new key of the gateway's is found so, in the end.
    department.gateway.signer = PrivateKeySigner.generate("ES256")
    clock.advance(seconds=11)
    assert department.post(question(department)).status == 200


def test_a_question_that_was_changed_on_the_way(department: Department) -> None:
    signed = question(department)
    more = signed.body.replace(b'"tier"', b'"award_amount"')
    assert_refused(department, replace(signed, body=more))
    assert_refused(department, replace(signed, body=more).with_headers({"Content-Digest": content_digest(more)}))


def test_a_new_key_of_the_gateways_is_looked_up_once_more(department: Department) -> None:
    assert department.post(question(department)).status == 200
    department.gateway.signer = PrivateKeySigner.generate("ES256")
    assert department.post(question(department, nonce="another-nonce")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        {**QUESTION, "subject": "the-departments-own-name"},
        {**QUESTION, "fields": "eligible"},
        {**QUESTION, "fields": [1]},
        {name: value for name, value in QUESTION.items() if name != "handle"},
    ],
)
def test_a_question_that_cannot_be_read_is_said_to_be_so(
    department: Department, body: Mapping[str, Any] | bytes
) -> None:
    request = question(department, body)
    response = department.post(request)
    assert (response.status, json.loads(response.body)["code"]) == (400, "malformed_question")
    keys = [department.gateway.provider.public_jwk()]
    verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=department.clock.now())
    assert department.asked == []


def test_a_service_that_is_not_answered_here(department: Department) -> None:
    response = department.post(question(department, {**QUESTION, "service": "dwp/another/v1"}))
    assert (response.status, json.loads(response.body)["code"]) == (404, "unknown_service")


@pytest.mark.parametrize("length", [str(MAX_REQUEST_BYTES + 1), "a lot", "-1"])
def test_a_question_too_large_is_not_read(department: Department, length: str) -> None:
    response = department.post(question(department), length=length)
    assert response.status == 413
    assert department.asked == []


def test_a_body_longer_than_it_says_is_not_the_one_that_was_signed(department: Department) -> None:
    assert_refused(department, replace(question(department), body=json.dumps(QUESTION).encode() + b" "))


def test_health_is_told_to_anybody(department: Department) -> None:
    response = department.post(HttpRequest(method="GET", target_uri=f"{ORIGIN}/healthz"))
    assert response.status == 200
    with pytest.raises(InvalidMessageSignature):
        verify_response(
            response,
            request=HttpRequest(method="GET", target_uri=f"{ORIGIN}/healthz"),
            keys=[department.gateway.provider.public_jwk()],
            tag=PROVIDER_TAG,
            now=department.clock.now(),
        )


# --- What a department's function gets wrong


class SaysTooMuch(Exception):
    """An error whose text is about somebody."""


def failing(_question: AskedQuestion) -> Mapping[str, Any]:
    raise SaysTooMuch("Ada Testcase owes 542.10")


WRONG: dict[str, Any] = {
    "raises": failing,
    "returns nothing": lambda _question: None,
}


def unreadable(_question: AskedQuestion) -> Any:
    raise RecordUnusable("tier: cannot be read", match_level="fair", area=CONSUMER)


OF_ONE_PERSON: dict[str, Any] = {
    "leaves a field out": lambda _question: {"eligible": True},
    "returns what is no JSON": lambda _question: {"eligible": True, "tier": object()},
    "returns what is no JSON number": lambda _question: {"eligible": float("nan"), "tier": None},
    "breaks the schema": lambda _question: {"eligible": "yes, Ada Testcase", "tier": "targeted"},
    "cannot read the row": unreadable,
}


@pytest.mark.parametrize("schemas", [{SERVICE: SCHEMA}, {}])
@pytest.mark.parametrize("function", OF_ONE_PERSON.values(), ids=OF_ONE_PERSON)
def test_what_lies_in_one_persons_data_is_told_apart_from_a_broken_system(
    function: AnswerFunction, schemas: Any, clock: FrozenClock, caplog: pytest.LogCaptureFixture
) -> None:
    if not schemas and function is OF_ONE_PERSON["breaks the schema"]:
        pytest.skip("without a schema nothing breaks it")
    department = Department(StandIn(clock=clock), clock, function=function, schemas=schemas)
    request = question(department)
    response = department.post(request)
    body = json.loads(response.body)
    assert (response.status, body["code"]) == (422, "record_unusable")
    about = {"match_level": "fair", "area": CONSUMER} if function is unreadable else None
    assert body.get("about") == about
    keys = [department.gateway.provider.public_jwk()]
    verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=department.clock.now())
    assert [record.levelname for record in caplog.records if record.levelname == "ERROR"] == ["ERROR"]
    said = caplog.text + response.body.decode()
    assert "Ada" not in said
    assert "the-departments-own-name" not in said


@pytest.mark.parametrize("function", WRONG.values(), ids=WRONG)
def test_what_a_function_gets_wrong_is_told_to_the_log_without_the_person(
    function: AnswerFunction, clock: FrozenClock, caplog: pytest.LogCaptureFixture
) -> None:
    department = Department(StandIn(clock=clock), clock, function=function)
    request = question(department)
    with caplog.at_level("INFO"):
        response = department.post(request)
    assert (response.status, json.loads(response.body)["code"]) == (500, "provider_failed")
    keys = [department.gateway.provider.public_jwk()]
    verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=department.clock.now())
    assert [record.levelname for record in caplog.records] in (["ERROR", "INFO"], ["ERROR"])
    said = caplog.text + response.body.decode()
    assert "Ada" not in said
    assert "542" not in said
    assert "the-departments-own-name" not in said


KEY = DecryptionKey.generate()
ENCRYPTED = {SERVICE: {"DSA-003": [KEY.thumbprint]}}
LARGE_AWARD = {"name": "large", "from": ["award_amount"], "expression": "award_amount > 50000", "gives": "boolean"}


def test_an_encrypted_value_is_not_found_by_questions_about_it(clock: FrozenClock) -> None:
    agreed = AgreedCheck(from_=("award_amount",), expression="award_amount > 50000")
    checks = {SERVICE: {"DSA-003": {"large": agreed}}}
    department = Department(StandIn(clock=clock), clock, encrypted=ENCRYPTED, checks=checks)
    without = Department(department.gateway, clock, encrypted=ENCRYPTED)

    def told(asked: Department, **check: Any) -> tuple[int, str | None]:
        body = {
            **QUESTION,
            "fields": ["eligible"],
            "encrypt_to": KEY.public_jwk(),
            "checks": [{**LARGE_AWARD, **check}],
        }
        response = asked.post(question(asked, body, nonce=token_urlsafe()))
        return response.status, json.loads(response.body).get("code")

    department.found = without.found = {"eligible": True, "award_amount": 54_210}
    oracle = "award_amount > {} ? true : 1 / (award_amount - award_amount) > 0"
    for value in (0, 54_209, 54_210, 1 << 20):
        assert told(department, expression=oracle.format(value)) == (403, "check_refused")
    assert told(without) == (403, "check_refused")
    assert (department.asked, without.asked) == ([], [])


@pytest.mark.parametrize("values", [(True, False), (1, 10**15), (None, "targeted"), ("", "x" * 100)])
def test_how_long_an_encrypted_value_is_does_not_tell_which_it_is(values: tuple[Any, Any], clock: FrozenClock) -> None:
    department = Department(StandIn(clock=clock), clock, encrypted=ENCRYPTED, schemas={})
    lengths = set()
    for value in values:
        department.found = {"eligible": value}
        body = {**QUESTION, "fields": ["eligible"], "encrypt_to": KEY.public_jwk()}
        response = department.post(question(department, body, nonce=token_urlsafe()))
        [part] = json.loads(response.body)["encrypted"]
        lengths.add((len(part["jwe"]), len(KEY.open(part["jwe"]))))
    [(_, plain)] = lengths
    assert plain % 256 == 0


def test_one_line_is_logged_for_a_question_and_nothing_about_the_person(
    department: Department, caplog: pytest.LogCaptureFixture
) -> None:
    department.found = NoRecord(reason="withheld")
    with caplog.at_level("INFO"):
        department.post(question(department))
    [line] = [record.getMessage() for record in caplog.records]
    assert EXCHANGE in line
    assert "outcome=no_record" in line
    # Neither who was asked about nor why nothing is said of them.
    assert "the-departments-own-name" not in line
    assert "withheld" not in line


def test_how_the_person_was_found_is_told_beside_the_record_and_not_in_it(department: Department) -> None:
    department.found = Found(fields={"eligible": True, "tier": None}, match_level="strong", area=CONSUMER)
    body = json.loads(department.post(question(department)).body)
    assert body["about"] == {"match_level": "strong", "area": CONSUMER}
    payload = unverified_claims(body["record"].split("~")[0])
    assert not {"match_level", "area", "about"} & set(payload)


def test_a_provider_is_ready_when_it_has_the_gateways_keys(department: Department) -> None:
    def ready() -> int:
        return department.post(HttpRequest(method="GET", target_uri=f"{ORIGIN}/readyz")).status

    department.gateway.issuer_stated = "https://another.example"
    assert ready() == 503
    department.gateway.issuer_stated = ISSUER
    department.clock.advance(seconds=600)
    assert ready() == 200


# --- Several processes


def test_a_question_is_answered_once_by_all_processes_together(clock: FrozenClock, tmp_path: Path) -> None:
    gateway = StandIn(clock=clock)
    file = tmp_path / "nonces.sqlite3"
    one, other = (Department(gateway, clock, nonces=SharedNonces(file)) for _each in range(2))
    request = question(one)
    assert one.post(request).status == 200
    assert_refused(other, request)
    assert other.post(question(other, nonce="another-nonce")).status == 200
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kept", ["in memory", "in a file"])
def test_of_many_threads_with_one_nonce_one_is_first(kept: str, tmp_path: Path, clock: FrozenClock) -> None:
    nonces: Nonces = SharedNonces(tmp_path / "shared.sqlite3") if kept == "in a file" else SeenNonces()

    def first_use(number: int) -> bool:
        return nonces.first_use(f"nonce-{number % 4}", now=clock.now())

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(first_use, range(40))) == 4


def test_shared_nonces_are_forgotten_when_their_signatures_are_over(tmp_path: Path, clock: FrozenClock) -> None:
    nonces = SharedNonces(tmp_path / "shared.sqlite3")
    assert nonces.first_use("a-nonce", now=clock.now())
    clock.advance(seconds=66)  # 60 s of age and 5 s ahead: until here the signature would hold
    assert not nonces.first_use("a-nonce", now=clock.now())
    clock.advance(seconds=60)
    assert nonces.first_use("a-nonce", now=clock.now())
