"""Ask the provider, and believe nothing it did not sign for this exchange.

No database is touched here. What comes back is a value: a record, "no record", or a named failure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from secrets import token_urlsafe
from typing import Any, Literal
from uuid import UUID

from gateway.clock import Clock
from gateway.directory.members import Client, Jwk
from gateway.errors import GatewayError
from gateway.outgoing.http_client import Answer, AnswerTooLarge, HttpClient, TooSlow
from gateway.sharing.catalogue.services import Service
from gateway.wire.contracts import NO_RECORD, PROVIDER_TAG, RECORD_TYP
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import SIGNING_ALGORITHMS
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_request, verify_response
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt
from gateway.wire.signer import Signer

OK, NOT_FOUND = 200, 404
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
    """The provider's verified record."""

    record: VerifiedRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRecord:
    """The provider has nothing to say about this person; why stays between it and us."""

    reason: NoRecordReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFailed:
    """The provider did not answer, or not in a way that can be believed."""

    code: str
    title: str
    detail: str


ProviderAnswer = Answered | NoRecord | ProviderFailed

FAILURES = {
    "provider_unreachable": "The provider could not be reached",
    "provider_timeout": "The provider did not answer in time",
    "provider_answer_too_large": "The provider's answer is too large",
    "provider_answer_unsigned": "The provider's answer is not signed by the provider",
    "provider_answer_invalid": "The provider's answer cannot be accepted",
    "provider_refused": "The provider did not accept the question",
    "attachment_not_kept": "A document could not be kept until it is fetched",
}


def failed(code: str, detail: str) -> ProviderFailed:
    """Return the named failure."""
    return ProviderFailed(code=code, title=FAILURES[code], detail=detail)


def ask_provider(
    question: Question, *, provider: Client, http: HttpClient, signer: Signer, issuer: str, clock: Clock, timeout: float
) -> ProviderAnswer:
    """Ask once; `timeout` is the whole time the provider has, in seconds. Never raises for what a provider does."""
    service = question.service
    if service.endpoint is None:
        return failed("provider_unreachable", "no endpoint is registered")
    request = sign_request(
        HttpRequest(
            method="POST",
            target_uri=service.endpoint,
            headers={"Content-Type": "application/json", "Accept": "application/json, application/problem+json"},
            body=question.body(),
        ),
        signer=signer,
        client_id=issuer,
        nonce=token_urlsafe(16),
        created=clock.now(),
        tag=PROVIDER_TAG,
    )
    try:
        answer = http.request(
            "POST",
            service.endpoint,
            headers=request.headers,
            body=request.body,
            timeout_seconds=timeout,
            max_bytes=service.max_answer_bytes,
        )
    except TooSlow as error:
        return failed("provider_timeout", str(error.detail))
    except AnswerTooLarge:
        return failed("provider_answer_too_large", f"more than {service.max_answer_bytes} bytes")
    except GatewayError as error:
        return failed("provider_unreachable", f"{error.code}: {error.detail}")
    return _believe(answer, request, question=question, keys=provider.keys, now=clock.now())


def _believe(
    answer: Answer, request: HttpRequest, *, question: Question, keys: tuple[Jwk, ...], now: datetime
) -> ProviderAnswer:
    response = HttpResponse(status=answer.status, headers=answer.headers, body=answer.body)
    try:
        verify_response(response, request=request, keys=keys, tag=PROVIDER_TAG, now=now)
    except GatewayError as error:
        return failed("provider_answer_unsigned", f"{error.code}: {error.public}")
    try:
        body = parse_json_object(answer.body)
    except MalformedInput:
        return failed("provider_answer_invalid", "the body is not a JSON object")
    if answer.status == NOT_FOUND and body.get("code") == NO_RECORD:
        reason = body.get("reason")
        return NoRecord(reason=reason if reason in ("ambiguous", "withheld") else "unknown")
    if answer.status != OK:
        return failed("provider_refused", f"status {answer.status}")
    return _believe_record(body.get("record"), question=question, keys=keys, now=now)


def _believe_record(unverified: object, *, question: Question, keys: tuple[Jwk, ...], now: datetime) -> ProviderAnswer:
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
    return Answered(record=record)
