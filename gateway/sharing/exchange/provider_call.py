"""Ask the provider, and believe nothing it did not sign for this exchange.

No database is touched here. What comes back is a value: a record, "no record", or a named failure.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_urlsafe
from typing import Any, Literal
from uuid import UUID

from gateway.clock import Clock
from gateway.directory.members import Client, Jwk
from gateway.errors import GatewayError
from gateway.outgoing.http_client import Answer, AnswerTooLarge, HttpClient, NotReceived, TooSlow
from gateway.sharing.catalogue.services import Service
from gateway.sharing.exchange.about import SAID_NOTHING, About, Demands, read_about
from gateway.sharing.exchange.checks import Plan, for_provider
from gateway.wire.contracts import CHECK_NOT_COMPUTED, NO_RECORD, PROVIDER_TAG, RECORD_TYP, RECORD_UNUSABLE
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import SIGNING_ALGORITHMS, public_members, thumbprint
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request, verify_response
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt
from gateway.wire.sealed_disclosures import SealedDisclosure, check_labels, read_sealed
from gateway.wire.signer import Signer

OK, NOT_FOUND, SERVER_ERROR = 200, 404, 500
PAUSE_SECONDS = 0.2
"""Before a question is sent once more: a server that is being started anew may be there by then."""
_MEDIA_TYPES = ("application/json", "application/problem+json")
_OF_ANOTHER_KEY = ("provider_answer_unsigned", "provider_answer_invalid")
# A provider's code for what lies in one person's data, and what a consumer is told: as though we had found it.
_ABOUT_ONE_PERSON = {CHECK_NOT_COMPUTED: CHECK_NOT_COMPUTED, RECORD_UNUSABLE: "provider_answer_invalid"}
NoRecordReason = Literal["unknown", "ambiguous", "withheld", "objected", "unsuited"]
"""`objected` is known before anybody is asked; `unsuited` are people about whom the agreement lets nobody be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a provider: only what it needs to answer."""

    exchange: UUID
    service: Service
    purpose: str
    agreement: str
    consumer: str
    subject: Mapping[str, Any]
    handle: str
    plan: Plan
    agreement_version: int
    encrypt_to: Jwk | None = None
    """The consumer's key, where the agreement says that values are for nobody else."""
    demands: Demands = field(default_factory=Demands)
    """Not sent: what must be true of the person."""

    def body(self) -> bytes:
        """Return the JSON sent (design §4)."""
        question: dict[str, Any] = {
            "exchange": str(self.exchange),
            "service": self.service.id,
            "purpose": self.purpose,
            "agreement": self.agreement,
            "consumer": self.consumer,
            "subject": self.subject,
            "handle": self.handle,
            "fields": list(self.plan.fetched),
            "audience": self.consumer,
        }
        if self.plan.there:
            question |= {"checks": for_provider(self.plan.there), "thresholds": dict(self.service.thresholds)}
        if self.encrypt_to is not None:
            question["encrypt_to"] = {**public_members(self.encrypt_to), "use": "enc"}
        return json.dumps(question).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The provider's verified record, what is said beside it, and the key with which all of that was signed.

    Where the question said to whom to encrypt, the disclosures are `sealed`, and the record has none.
    """

    record: VerifiedRecord
    key: Jwk
    about: About = SAID_NOTHING
    sealed: tuple[SealedDisclosure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRecord:
    """The provider has nothing to say about this person; why stays between it and us."""

    reason: NoRecordReason
    key: Jwk | None = None
    """The key with which the answer was signed, where the provider was asked."""
    about: About | None = None
    """What was said of a person for whom there is a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFailed:
    """The provider did not answer, or not in a way that can be believed."""

    code: str
    title: str
    detail: str
    retry_after: int | None = None
    """When it is worth asking anew, in whole seconds, where that can be told."""

    @property
    def is_of_the_system(self) -> bool:
        """Whether anybody's question would have fared so: the system is down, slow, broken, or not the provider's."""
        return self.code in _OF_THE_SYSTEM

    @property
    def is_unanswered(self) -> bool:
        """Whether nothing came that the provider signed: it tells nothing of the person, and costs nothing."""
        return self.code in _UNANSWERED


ProviderAnswer = Answered | NoRecord | ProviderFailed

FAILURES = {
    "provider_unreachable": "The provider could not be reached",
    "provider_timeout": "The provider did not answer in time",
    "provider_answer_too_large": "The provider's answer is too large",
    "provider_answer_unsigned": "The provider's answer is not signed by the provider",
    "provider_answer_invalid": "The provider's answer cannot be accepted",
    "provider_refused": "The provider did not accept the question",
    CHECK_NOT_COMPUTED: "A check could not be computed",
    "encryption_key_missing": "The asking system has none of the keys registered to which the agreement encrypts",
    "provider_error": "The provider has a fault of its own",
    "provider_unavailable": "The provider has not been answering and is not asked for a while",
    "provider_busy": "As many questions as may be are with the provider already",
    "attachment_not_kept": "A document could not be kept until it is fetched",
}


_OF_THE_SYSTEM = frozenset({"provider_unreachable", "provider_timeout", "provider_answer_unsigned", "provider_error"})
_UNANSWERED = frozenset(
    {
        "provider_unreachable",
        "provider_timeout",
        "provider_answer_unsigned",
        "provider_unavailable",
        "provider_busy",
        "encryption_key_missing",
    }
)


def failed(code: str, detail: str, *, retry_after: int | None = None) -> ProviderFailed:
    """Return the named failure."""
    return ProviderFailed(code=code, title=FAILURES[code], detail=detail, retry_after=retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How providers are asked. `keys_now` gives the keys that are registered for a client at this moment."""

    http: HttpClient
    signer: Callable[[], Signer]
    issuer: str
    clock: Clock
    keys_now: Callable[[str], tuple[Jwk, ...]]


def ask_provider(question: Question, *, provider: Client, line: Line, timeout: float) -> ProviderAnswer:
    """Ask; `timeout` is the whole time the provider has, in seconds. Never raises for what a provider does."""
    if question.service.endpoint is None:
        return failed("provider_unreachable", "no endpoint is registered")
    sent = _sent(question, endpoint=question.service.endpoint, line=line, timeout=timeout)
    if isinstance(sent, ProviderFailed):
        return sent
    request, answer = sent
    believed = _believe(answer, request, question=question, keys=provider.keys, now=line.clock.now())
    if isinstance(believed, ProviderFailed) and believed.code in _OF_ANOTHER_KEY:
        # It may be signed with a key registered since. That one was withdrawn since is for the release to see.
        keys = line.keys_now(provider.client_id)
        if keys != provider.keys:
            return _believe(answer, request, question=question, keys=keys, now=line.clock.now())
    return believed


def _sent(
    question: Question, *, endpoint: str, line: Line, timeout: float
) -> tuple[HttpRequest, Answer] | ProviderFailed:
    """Send the question, once more where nobody can have acted on it; return it with the answer, still unverified."""
    deadline = time.monotonic() + timeout
    try:
        try:
            return _sent_once(question, endpoint=endpoint, line=line, timeout=timeout)
        except NotReceived:
            time.sleep(min(PAUSE_SECONDS, timeout / 10))
            return _sent_once(question, endpoint=endpoint, line=line, timeout=max(0.1, deadline - time.monotonic()))
    except TooSlow as error:
        return failed("provider_timeout", str(error.detail))
    except AnswerTooLarge as error:
        return failed("provider_answer_too_large", error.detail or f"over {question.service.max_answer_bytes} bytes")
    except GatewayError as error:
        return failed("provider_unreachable", f"{error.code}: {error.detail}")


def _sent_once(question: Question, *, endpoint: str, line: Line, timeout: float) -> tuple[HttpRequest, Answer]:
    request = sign_request(
        HttpRequest(
            method="POST",
            target_uri=endpoint,
            headers={"Content-Type": "application/json", "Accept": ", ".join(_MEDIA_TYPES)},
            body=question.body(),
        ),
        signer=line.signer(),
        client_id=line.issuer,
        nonce=token_urlsafe(16),
        created=line.clock.now(),
        tag=PROVIDER_TAG,
    )
    answer = line.http.request(
        "POST",
        endpoint,
        headers=request.headers,
        body=request.body,
        timeout_seconds=timeout,
        max_bytes=question.service.max_answer_bytes,
    )
    return request, answer


def _believe(
    answer: Answer, request: HttpRequest, *, question: Question, keys: tuple[Jwk, ...], now: datetime
) -> ProviderAnswer:
    response = HttpResponse(status=answer.status, headers=answer.headers, body=answer.body)
    try:
        verified = verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=now)
    except GatewayError as error:
        return failed("provider_answer_unsigned", f"{error.code}: {error.public}")
    key = next(key for key in keys if key.get("kid") == verified.key_id)
    if answer.status >= SERVER_ERROR:
        return failed("provider_error", f"status {answer.status}")
    body = _json_body(answer)
    if answer.status == NOT_FOUND and body is not None and body.get("code") == NO_RECORD:
        reason = body.get("reason")
        return NoRecord(reason=reason if reason in ("ambiguous", "withheld") else "unknown", key=key)
    if answer.status != OK and body is not None and body.get("code") in _ABOUT_ONE_PERSON:
        return _about_one_person(body, question=question, key=key)
    if answer.status != OK:
        return failed("provider_refused", f"status {answer.status}")
    return _believe_answer(body, question=question, key=key, keys=keys, now=now)


def _believe_answer(
    body: Mapping[str, Any] | None, *, question: Question, key: Jwk, keys: tuple[Jwk, ...], now: datetime
) -> Answered | ProviderFailed:
    if body is None:
        return failed("provider_answer_invalid", "the body is not a JSON object, or is not said to be one")
    about = read_about(body.get("about", {}))
    if about is None:
        return failed("provider_answer_invalid", "what is said about the person is neither a level nor an area")
    record = _believe_record(body.get("record"), question=question, keys=keys, now=now)
    if isinstance(record, ProviderFailed):
        return record
    if question.encrypt_to is None:
        return Answered(record=record, key=key, about=about)
    sealed = _believe_sealed(body.get("encrypted"), record, encrypt_to=question.encrypt_to)
    if isinstance(sealed, ProviderFailed):
        return sealed
    return Answered(record=record, key=key, about=about, sealed=sealed)


def _about_one_person(body: Mapping[str, Any], *, question: Question, key: Jwk) -> NoRecord | ProviderFailed:
    # Of a person about whom nothing may be told, it is not told either that there are values.
    about = read_about(body.get("about", {})) or SAID_NOTHING
    if not question.demands.are_met_by(about):
        return NoRecord(reason="unsuited", key=key, about=about)
    return failed(_ABOUT_ONE_PERSON[body["code"]], f"by the provider: {body['code']}")


def _believe_sealed(
    unverified: object, record: VerifiedRecord, *, encrypt_to: Jwk
) -> tuple[SealedDisclosure, ...] | ProviderFailed:
    # What we were not to read is not passed on, either.
    if record.fields:
        return failed("provider_answer_invalid", "values are not encrypted, as the agreement says they are")
    try:
        sealed = read_sealed(unverified)
        check_labels(sealed, digests=record.digests, to=thumbprint(encrypt_to))
    except GatewayError as error:
        return failed("provider_answer_invalid", f"{error.code}: {error.public}")
    return sealed


def _json_body(answer: Answer) -> Mapping[str, Any] | None:
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() not in _MEDIA_TYPES:
        return None
    try:
        return parse_json_object(answer.body)
    except MalformedInput:
        return None


def _believe_record(
    unverified: object, *, question: Question, keys: tuple[Jwk, ...], now: datetime
) -> VerifiedRecord | ProviderFailed:
    if not isinstance(unverified, str):
        return failed("provider_answer_invalid", "no record")
    try:
        record = verify_sd_jwt(
            unverified,
            keys=keys,
            typ=RECORD_TYP,
            algorithms=SIGNING_ALGORITHMS,
            issuer=question.service.provider,
            audience=question.consumer,
            now=now,
        )
    except GatewayError as error:
        return failed("provider_answer_invalid", f"{error.code}: {error.public}")
    # A record made for another exchange, or naming the person otherwise than asked, is not an answer to this question.
    if record.claims.get("jti") != str(question.exchange) or record.claims.get("sub") != question.handle:
        return failed("provider_answer_invalid", "the record belongs to another exchange")
    return record
