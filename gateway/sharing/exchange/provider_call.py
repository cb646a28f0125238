"""Ask the provider, and believe nothing it did not sign for this exchange.

No database is touched here. What comes back is a value: a record, "no record", or a named failure.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_urlsafe
from typing import Any, Literal
from uuid import UUID

from gateway.clock import Clock
from gateway.directory.members import Client, Jwk
from gateway.errors import GatewayError
from gateway.outgoing.http_client import Answer, AnswerTooLarge, HttpClient, NotReceived, TooSlow
from gateway.sharing.catalogue.services import Service
from gateway.wire.contracts import NO_RECORD, PROVIDER_TAG, RECORD_TYP
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import SIGNING_ALGORITHMS
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request, verify_response
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt
from gateway.wire.signer import Signer

OK, NOT_FOUND, SERVER_ERROR = 200, 404, 500
PAUSE_SECONDS = 0.2
"""Before a question is sent once more: a server that is being started anew may be there by then."""
_MEDIA_TYPES = ("application/json", "application/problem+json")
_OF_ANOTHER_KEY = ("provider_answer_unsigned", "provider_answer_invalid")
NoRecordReason = Literal["unknown", "ambiguous", "withheld"]


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
    fields: tuple[str, ...]

    def body(self) -> bytes:
        """Return the JSON sent (design §4)."""
        return json.dumps(
            {
                "exchange": str(self.exchange),
                "service": self.service.id,
                "purpose": self.purpose,
                "agreement": self.agreement,
                "consumer": self.consumer,
                "subject": self.subject,
                "handle": self.handle,
                "fields": list(self.fields),
                "audience": self.consumer,
            }
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The provider's verified record, and the key with which the answer around it was signed."""

    record: VerifiedRecord
    key: Jwk


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRecord:
    """The provider has nothing to say about this person; why stays between it and us."""

    reason: NoRecordReason
    key: Jwk | None = None
    """The key with which the answer was signed, where the provider was asked."""


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


ProviderAnswer = Answered | NoRecord | ProviderFailed

FAILURES = {
    "provider_unreachable": "The provider could not be reached",
    "provider_timeout": "The provider did not answer in time",
    "provider_answer_too_large": "The provider's answer is too large",
    "provider_answer_unsigned": "The provider's answer is not signed by the provider",
    "provider_answer_invalid": "The provider's answer cannot be accepted",
    "provider_refused": "The provider did not accept the question",
    "provider_error": "The provider has a fault of its own",
    "provider_unavailable": "The provider has not been answering and is not asked for a while",
    "provider_busy": "As many questions as may be are with the provider already",
    "attachment_not_kept": "A document could not be kept until it is fetched",
}


_OF_THE_SYSTEM = frozenset({"provider_unreachable", "provider_timeout", "provider_answer_unsigned", "provider_error"})


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
    if answer.status != OK:
        return failed("provider_refused", f"status {answer.status}")
    if body is None:
        return failed("provider_answer_invalid", "the body is not a JSON object, or is not said to be one")
    record = _believe_record(body.get("record"), question=question, keys=keys, now=now)
    return record if isinstance(record, ProviderFailed) else Answered(record=record, key=key)


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
