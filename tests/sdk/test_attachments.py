"""A consumer takes a document for what the provider signed, or for nothing."""

import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.attachments import AttachedDocument
from gateway.sdk.consumer import Answer, AnswerNotBelievable, Consumer, NotAnswered
from gateway.sdk.metadata import GatewayUnreachable
from gateway.wire.attachments import value_of
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.encoding import b64_encode
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_response_head
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import ISSUER, a_receipt
from tests.sdk.standing_in import CLIENT, NeverAnswered, StandIn

PDF = "application/pdf"
LETTER = b"%PDF-1.7 a letter"
VALUE = value_of(hashlib.sha256(LETTER).digest(), size=len(LETTER), media_type=PDF)
HREF = f"exchanges/{a_receipt().exchange}/attachments/1"
LINK = {"field": "letter", "href": HREF, **VALUE}


@pytest.fixture
def gateway(clock: FrozenClock) -> StandIn:
    return StandIn(clock=clock)


def ask(gateway: StandIn, *, links: Any = (LINK,)) -> Answer:
    """Ask for the letter, of a gateway that links to it like this."""
    record = gateway.record(fields={"letter": VALUE})
    gateway.respond = lambda request: gateway.disclosure(request, record=record, content={"attachments": links})
    consumer = Consumer(
        ISSUER, CLIENT, PrivateKeySigner.generate("ES256"), clock=gateway.clock, documents=gateway.documents()
    )
    answer = consumer.ask(
        service="dwp/free-school-meals/v1",
        purpose="free-school-meals",
        subject={"sub": "pairwise-for-blackburn"},
        fields=["letter"],
        access_token="an-officers-token",
    )
    assert isinstance(answer, Answer)
    return answer


def sent(
    gateway: StandIn, body: bytes = LETTER, *, digest: bytes | None = None
) -> Callable[[HttpRequest], HttpResponse]:
    """Send this as the letter, signed by its head."""

    def respond(request: HttpRequest) -> HttpResponse:
        stated = digest if digest is not None else hashlib.sha256(body).digest()
        headers = {"Content-Type": PDF, "Content-Digest": f"sha-256=:{b64_encode(stated)}:"}
        return sign_response_head(
            HttpResponse(status=200, headers=headers, body=body),
            request=request,
            signer=gateway.signer,
            created=gateway.clock.now(),
            tag=EXCHANGE_TAG,
        )

    return respond


def letter_of(gateway: StandIn) -> AttachedDocument:
    return ask(gateway).attachments["letter"]


def test_a_document_is_saved_for_its_owner_and_shown_to_nobody_before(gateway: StandIn, tmp_path: Path) -> None:
    letter = letter_of(gateway)
    assert "an-officers-token" not in repr(letter)
    gateway.respond = sent(gateway)
    letter.save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == LETTER
    assert stat.S_IMODE((tmp_path / "letter.pdf").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["letter.pdf"]
    with letter.open() as file:
        assert file.read() == LETTER


@pytest.mark.parametrize(
    "links",
    [
        [{**LINK, "digest": "A" * 43}],
        [{**LINK, "size": 1}],
        [{**LINK, "type": "text/html"}],
        [{**LINK, "field": "another"}],
        [{**LINK, "href": f"https://elsewhere.example/sharing/v1/{HREF}"}],
        [{**LINK, "href": f"//elsewhere.example/{HREF}"}],
        [{**LINK, "href": "../../authorize"}],
        [{name: value for name, value in LINK.items() if name != "href"}],
        [{**LINK, "href": 1}],
        ["letter"],
        {"letter": LINK},
    ],
)
def test_a_link_to_something_else_makes_the_whole_answer_unbelievable(gateway: StandIn, links: Any) -> None:
    with pytest.raises(AnswerNotBelievable):
        ask(gateway, links=links)


def test_no_link_is_no_document(gateway: StandIn) -> None:
    assert ask(gateway, links=[]).attachments == {}


def truncated(gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    return sent(gateway, LETTER[:-1], digest=hashlib.sha256(LETTER).digest())


def lengthened(gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    return sent(gateway, LETTER + b" ", digest=hashlib.sha256(LETTER).digest())


def another(gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    return sent(gateway, b"x" * len(LETTER), digest=hashlib.sha256(LETTER).digest())


def another_under_its_own_digest(gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    return sent(gateway, b"another letter")


def itself_under_anothers_digest(gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    """The right bytes, which the gateway's signature does not cover."""
    return sent(gateway, LETTER, digest=hashlib.sha256(b"another letter").digest())


def by_a_stranger(gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    stranger = StandIn(clock=gateway.clock)
    return sent(stranger)


def unsigned(_gateway: StandIn) -> Callable[[HttpRequest], HttpResponse]:
    return lambda _request: HttpResponse(status=200, body=LETTER)


@pytest.mark.parametrize(
    "lie",
    [
        truncated,
        lengthened,
        another,
        another_under_its_own_digest,
        itself_under_anothers_digest,
        by_a_stranger,
        unsigned,
    ],
)
def test_what_is_not_the_document_leaves_nothing_behind(
    gateway: StandIn, tmp_path: Path, lie: Callable[[StandIn], Callable[[HttpRequest], HttpResponse]]
) -> None:
    letter = letter_of(gateway)
    gateway.respond = lie(gateway)
    with pytest.raises(AnswerNotBelievable):
        letter.save(tmp_path / "letter.pdf")
    with pytest.raises(AnswerNotBelievable), letter.open():
        raise AssertionError("it was given before it was verified")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_answer_is_fetched_again_under_the_same_key_with_a_new_signature(
    gateway: StandIn, tmp_path: Path
) -> None:
    letter = letter_of(gateway)
    gateway.requests.clear()
    answers: list[HttpResponse | NeverAnswered | None] = [
        NeverAnswered(),
        HttpResponse(status=502, body=b"a proxy's"),
        None,
    ]

    def respond(request: HttpRequest) -> HttpResponse:
        answer = answers.pop(0)
        if isinstance(answer, NeverAnswered):
            raise answer
        return answer if answer is not None else sent(gateway)(request)

    gateway.respond = respond
    letter.save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").read_bytes() == LETTER
    assert [request.method for request in gateway.requests] == ["GET"] * 3
    assert len({request.headers["Idempotency-Key"] for request in gateway.requests}) == 1
    assert len({request.headers["Signature"] for request in gateway.requests}) == 3


def test_a_gateway_that_never_answers_is_said_to_be_so(gateway: StandIn, tmp_path: Path) -> None:
    letter = letter_of(gateway)

    def respond(_request: HttpRequest) -> HttpResponse:
        raise NeverAnswered

    gateway.respond = respond
    with pytest.raises(GatewayUnreachable):
        letter.save(tmp_path / "letter.pdf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "code"), [(409, "attachment_already_fetched"), (409, "attachment_expired"), (403, "refused")]
)
def test_why_it_is_not_given_is_told_by_its_code(gateway: StandIn, tmp_path: Path, status: int, code: str) -> None:
    letter = letter_of(gateway)
    gateway.respond = lambda request: gateway.problem(request, status, code)
    with pytest.raises(NotAnswered) as told:
        letter.save(tmp_path / "letter.pdf")
    assert (told.value.status, told.value.code) == (status, code)


def test_a_refusal_that_the_gateway_did_not_sign_is_not_believed(gateway: StandIn, tmp_path: Path) -> None:
    letter = letter_of(gateway)
    body: Mapping[str, Any] = {"code": "attachment_expired", "status": 409}
    gateway.respond = lambda _request: HttpResponse(status=409, body=json.dumps(body).encode())
    with pytest.raises(AnswerNotBelievable):
        letter.save(tmp_path / "letter.pdf")
