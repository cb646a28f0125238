"""Ask for a record, and verify everything about the answer before believing any of it.

    consumer = Consumer("https://gateway.example", client_id="bwd-portal", signer=signer)
    answer = consumer.ask(service="dwp/free-school-meals/v1", purpose="free-school-meals", subject={"sub": "…"},
                          fields=["eligible", "tier"], case_reference="FSM/2026/00017", access_token=token)

An `Answer` holds the fields; a `Refusal` holds the failing rules; both hold the signed receipt. A lost answer is asked
for again with the same Idempotency-Key, so that nothing is disclosed twice.
"""

import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Kind
from gateway.sdk.metadata import GatewayDocuments, GatewayUnreachable, Metadata
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import EXCHANGE_TAG, RECORD_TYP
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import InvalidMessageSignature, MalformedInput
from gateway.wire.jws import issue_jwt
from gateway.wire.keys import SIGNING_ALGORITHMS, Jwk
from gateway.wire.message_signatures import (
    HttpRequest,
    HttpResponse,
    VerifiedResponse,
    sign_request,
    verify_response,
)
from gateway.wire.receipts import FailedRule, Receipt, verify_receipt
from gateway.wire.sd_jwt import verify_sd_jwt
from gateway.wire.signer import Signer

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = timedelta(seconds=60)
TOKEN_MARGIN = timedelta(seconds=30)
ATTEMPTS = 4
OK, REFUSED, CONFLICT, SERVER_ERROR, BAD_GATEWAY, UNAVAILABLE, GATEWAY_TIMEOUT = 200, 403, 409, 500, 502, 503, 504


class NotAnswered(GatewayError):
    """The gateway turned the request away or could not answer; `code` is the problem's own code, `status` HTTP's."""

    kind = Kind.UPSTREAM
    code = "not_answered"
    title = "The gateway did not answer the question"

    def __init__(self, public: str, *, code: str, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(public)
        self.code = code
        self.status = status
        self.problem = dict(problem)


class AnswerNotBelievable(GatewayError):
    """The answer failed a verification; nothing in it may be used."""

    kind = Kind.UPSTREAM
    code = "answer_not_believable"
    title = "The answer could not be verified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verified disclosure. `record` is the provider's SD-JWT and `receipt_jws` the receipt, both worth keeping."""

    exchange: str
    fields: Mapping[str, Any] = field(repr=False)
    record: str = field(repr=False)
    receipt: Receipt
    receipt_jws: str = field(repr=False)
    verified: tuple[str, ...]
    """What was proved, one sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A verified refusal, with every rule that may be told."""

    exchange: str
    code: str
    rules: tuple[FailedRule, ...]
    receipt: Receipt
    receipt_jws: str = field(repr=False)
    verified: tuple[str, ...]


class Consumer:
    """Asks one gateway for one client. Assembles only; safe in threads."""

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        signer: Signer,
        clock: Clock | None = None,
        timeout: float = 30.0,
        ca_file: Path | None = None,
        documents: GatewayDocuments | None = None,
    ) -> None:
        self._documents = documents or GatewayDocuments(issuer, ca_file=ca_file)
        self._client_id = client_id
        self._signer = signer
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._own_token: tuple[str, datetime] | None = None

    def ask(
        self,
        *,
        service: str,
        purpose: str,
        subject: Mapping[str, Any],
        fields: Sequence[str],
        case_reference: str | None = None,
        access_token: str | None = None,
        idempotency_key: str | None = None,
        salt: str | None = None,
    ) -> Answer | Refusal:
        """Ask, and return a verified answer or a verified refusal.

        `subject` is `{"sub": …}` or `{"match": {…}}`. `access_token` is an officer's; without one the client asks for
        itself. An answer lost on the way is asked for again here; who wants to do so after a restart, too, keeps
        `idempotency_key` (a UUID) and `salt` (128 random bits, base64url) beforehand and gives both again, with
        everything else unchanged. Raises `NotAnswered`, `AnswerNotBelievable` or `GatewayUnreachable`.
        """
        body: dict[str, Any] = {
            "service": service,
            "purpose": purpose,
            "subject": subject,
            "fields": list(fields),
            "salt": salt or secrets.token_urlsafe(16),
        }
        if case_reference is not None:
            body["case_reference"] = case_reference
        content = json.dumps(body).encode()
        key = idempotency_key or str(uuid.uuid4())
        metadata = self._documents.metadata(self._clock.now())
        request, response = self._send(metadata, content, idempotency_key=key, access_token=access_token)
        return self._believe(request, response, asked=tuple(fields))

    def _send(
        self, metadata: Metadata, content: bytes, *, idempotency_key: str, access_token: str | None
    ) -> tuple[HttpRequest, HttpResponse]:
        """Send, and on a lost or unfinished answer send again: same key, same body, fresh signature."""
        pause = 0.2
        for attempt in range(ATTEMPTS):
            request = self._signed_request(
                metadata, content, idempotency_key=idempotency_key, access_token=access_token or self._token(metadata)
            )
            last = attempt == ATTEMPTS - 1
            try:
                answer = self._documents.session().post(
                    request.target_uri,
                    data=content,
                    headers=dict(request.headers),
                    timeout=self._timeout,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                if last:
                    raise GatewayUnreachable(detail=type(error).__name__) from error
            else:
                response = HttpResponse(status=answer.status_code, headers=answer.headers, body=answer.content)
                if last or not _worth_another_try(response):
                    return request, response
                pause = max(pause, _seconds(answer.headers.get("Retry-After")))
            time.sleep(min(pause, 5.0))
            pause *= 2
        raise GatewayUnreachable

    def _signed_request(
        self, metadata: Metadata, content: bytes, *, idempotency_key: str, access_token: str
    ) -> HttpRequest:
        return sign_request(
            HttpRequest(
                method="POST",
                target_uri=metadata.exchanges_endpoint,
                headers={
                    "Content-Type": "application/json",
                    "Accept": "application/json, application/problem+json",
                    "Authorization": f"Bearer {access_token}",
                    "Idempotency-Key": idempotency_key,
                },
                body=content,
            ),
            signer=self._signer,
            client_id=self._client_id,
            nonce=secrets.token_urlsafe(18),
            created=self._clock.now(),
            tag=EXCHANGE_TAG,
        )

    def _believe(self, request: HttpRequest, response: HttpResponse, *, asked: tuple[str, ...]) -> Answer | Refusal:
        now = self._clock.now()
        # 1. The gateway signed exactly this answer to exactly this request.
        gateway_keys, verified = self._check_signed(request, response, now=now)
        try:
            body = parse_json_object(response.body)
        except MalformedInput as error:
            raise AnswerNotBelievable("The answer is not JSON.") from error
        receipt_jws = body.get("receipt")
        if response.status not in (OK, REFUSED) or not isinstance(receipt_jws, str):
            raise NotAnswered(
                str(body.get("detail") or body.get("title") or "no answer"),
                code=str(body.get("code", "not_answered")),
                status=response.status,
                problem=body,
            )
        if verified.binding != "request":
            raise AnswerNotBelievable("The answer is not bound to this request.")
        steps = ["the gateway signed this answer to this request"]
        # 2. The receipt is the gateway's, and speaks of this request.
        try:
            receipt = verify_receipt(receipt_jws, keys=gateway_keys)
        except GatewayError as error:
            raise AnswerNotBelievable("The receipt does not verify.", detail=error.public) from error
        if receipt.request_digest != digest_b64(request.body) or receipt.exchange != body.get("exchange"):
            raise AnswerNotBelievable("The receipt is for another request.")
        steps.append("the receipt is the gateway's and names this request")
        if response.status == REFUSED:
            if receipt.outcome != "refused":
                raise AnswerNotBelievable("The receipt does not say refused.")
            return Refusal(
                exchange=receipt.exchange,
                code=str(body.get("code")),
                rules=receipt.rules,
                receipt=receipt,
                receipt_jws=receipt_jws,
                verified=tuple(steps),
            )
        return self._believe_record(body.get("record"), receipt, receipt_jws, steps=steps, asked=asked, now=now)

    def _check_signed(
        self, request: HttpRequest, response: HttpResponse, *, now: datetime
    ) -> tuple[tuple[Jwk, ...], VerifiedResponse]:
        keys = self._documents.gateway_keys(now)
        try:
            return keys, verify_response(response, request=request, keys=keys, tag=EXCHANGE_TAG, now=now)
        except InvalidMessageSignature:
            keys = self._documents.gateway_keys(now, fresh=True)  # the gateway may have changed keys
        try:
            return keys, verify_response(response, request=request, keys=keys, tag=EXCHANGE_TAG, now=now)
        except GatewayError as error:
            if response.status >= SERVER_ERROR:  # a proxy's own error page is not the gateway's answer
                raise GatewayUnreachable(detail=f"status {response.status}") from error
            raise AnswerNotBelievable("The gateway's signature does not hold.", detail=error.public) from error

    def _believe_record(
        self,
        unverified: object,
        receipt: Receipt,
        receipt_jws: str,
        *,
        steps: list[str],
        asked: tuple[str, ...],
        now: datetime,
    ) -> Answer:
        if not isinstance(unverified, str) or receipt.outcome != "disclosed" or receipt.provider is None:
            raise AnswerNotBelievable("The receipt does not say disclosed.")
        # 3. The provider signed these facts, for us, in this exchange.
        try:
            record = verify_sd_jwt(
                unverified,
                keys=self._documents.member_keys(receipt.provider, now),
                typ=RECORD_TYP,
                algorithms=SIGNING_ALGORITHMS,
                issuer=receipt.provider,
                audience=receipt.consumer,
                now=now,
            )
        except GatewayError as error:
            raise AnswerNotBelievable("The provider's record does not verify.", detail=error.public) from error
        if record.claims.get("jti") != receipt.exchange or record.claims.get("sub") != receipt.handle:
            raise AnswerNotBelievable("The record belongs to another exchange.")
        steps.append(f"{receipt.provider} signed these facts for {receipt.consumer} in this exchange")
        # 4. What arrived is what the receipt says, and no more than was asked.
        if (
            digest_b64(record.issuer_jwt.encode()) != receipt.provider_jwt_digest
            or set(record.fields) != set(receipt.fields_disclosed)
            or not set(record.fields) <= set(asked)
        ):
            raise AnswerNotBelievable("The record is not the one the receipt describes.")
        steps.append("the fields are those the receipt names, and no others")
        return Answer(
            exchange=receipt.exchange,
            fields=dict(record.fields),
            record=unverified,
            receipt=receipt,
            receipt_jws=receipt_jws,
            verified=tuple(steps),
        )

    def _token(self, metadata: Metadata) -> str:
        """Return an access token of the client's own (client_credentials, private_key_jwt)."""
        now = self._clock.now()
        kept = self._own_token
        if kept is not None and now < kept[1] - TOKEN_MARGIN:
            return kept[0]
        assertion = issue_jwt(
            {
                "iss": self._client_id,
                "sub": self._client_id,
                "aud": metadata.issuer,
                "jti": str(uuid.uuid4()),
                "iat": int(now.timestamp()),
                "exp": int((now + ASSERTION_LIFETIME).timestamp()),
            },
            typ="JWT",
            signer=self._signer,
        )
        try:
            response = self._documents.session().post(
                metadata.token_endpoint,
                data={
                    "grant_type": "client_credentials",
                    "resource": metadata.resource,
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": assertion,
                },
                timeout=self._timeout,
                allow_redirects=False,
            )
            body = response.json()
        except (requests.RequestException, ValueError) as error:
            raise GatewayUnreachable(detail=type(error).__name__) from error
        if response.status_code != OK:
            error_code = str(body.get("error", "not_answered"))
            raise NotAnswered(
                str(body.get("error_description", error_code)),
                code=error_code,
                status=response.status_code,
                problem=body,
            )
        token = str(body["access_token"])
        self._own_token = (token, now + timedelta(seconds=int(body.get("expires_in", 60))))
        return token


def _worth_another_try(response: HttpResponse) -> bool:
    if response.status == CONFLICT:
        return b'"still_running"' in response.body
    # An unsigned one is a proxy's: the node that was asked is gone, and its answer is lost like any other.
    lost = response.status in (BAD_GATEWAY, GATEWAY_TIMEOUT) and "Signature" not in response.headers
    return response.status == UNAVAILABLE or lost


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
