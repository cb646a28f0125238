"""Verify everything about an answer before believing any of it (docs/wire-protocol.md §5 numbers the steps)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from gateway.errors import GatewayError
from gateway.sdk.answers import Answer, AnswerNotBelievable, NotAnswered, Refusal
from gateway.sdk.attachments import DocumentFetcher, attachments_in
from gateway.sdk.metadata import GatewayDocuments, GatewayUnreachable
from gateway.sdk.opening import Opener
from gateway.sdk.signed_answers import check_signed
from gateway.sdk.stated_checks import believe_checks
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import RECORD_TYP
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import InvalidJws, InvalidSignature, MalformedInput
from gateway.wire.keys import SIGNING_ALGORITHMS, Jwk, thumbprint
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from gateway.wire.receipts import Receipt, verify_receipt
from gateway.wire.sd_jwt import VerifiedRecord, verify_sd_jwt

OK, REFUSED = 200, 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, with which an answer is compared."""

    fields: tuple[str, ...]
    client_key: str | None = None
    """The thumbprint (RFC 7638) of the key that signed the request."""
    fetcher: DocumentFetcher | None = None
    """With which documents beside the answer will be fetched."""
    opener: Opener = field(default_factory=Opener)
    """With which values are read that are encrypted to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedStatement:
    """An answer that the gateway signed, with the receipt in it."""

    status: int
    body: dict[str, Any]
    receipt: Receipt
    receipt_jws: str
    gateway_keys: tuple[Jwk, ...]


def believe(
    request: HttpRequest, response: HttpResponse, *, asked: Asked, documents: GatewayDocuments, now: datetime
) -> Answer | Refusal:
    """Return what the answer says, once all of it holds.

    Raises `NotAnswered` for a signed error, `AnswerNotBelievable` for what does not hold, `GatewayUnreachable`.
    """
    # 1. and 2. The gateway signed this answer to this request, and the receipt in it speaks of this request.
    statement = believe_statement(request, response, documents=documents, now=now)
    steps = ["the gateway signed this answer to this request", "the receipt is the gateway's and names this request"]
    receipt = statement.receipt
    if asked.client_key is not None and receipt.client_key not in (None, asked.client_key):
        raise AnswerNotBelievable("The receipt names another key than asked.")
    if statement.status == REFUSED:
        if receipt.outcome != "refused":
            raise AnswerNotBelievable("The receipt does not say refused.")
        return Refusal(
            exchange=receipt.exchange,
            code=str(statement.body.get("code")),
            rules=receipt.rules,
            receipt=receipt,
            receipt_jws=statement.receipt_jws,
            verified=tuple(steps),
        )

    # 3. The provider signed these facts, for us, in this exchange.
    def verified(unverified: object) -> VerifiedRecord:
        return _believe_record(unverified, receipt, documents=documents, now=now)

    as_sent = verified(statement.body.get("record"))
    # What is encrypted to us is opened first, and is then a record like any other.
    record_jwt, record = asked.opener.opened(statement.body, as_sent, verify=verified)
    steps.append(f"{receipt.provider} signed these facts for {receipt.consumer} in this exchange")
    # 4. What arrived is what the receipt says, and no more than was asked.
    stated = believe_checks(statement.body.get("checks"), receipt, gateway_keys=statement.gateway_keys, now=now)
    results = stated.fields if stated is not None else {}
    if (
        digest_b64(record.issuer_jwt.encode()) != receipt.provider_jwt_digest
        or sorted((*record.fields, *results)) != sorted(receipt.fields_disclosed)
        or not {*record.fields, *results} <= set(asked.fields)
        or receipt.provider_key not in (None, thumbprint(record.key))
    ):
        raise AnswerNotBelievable("The record is not the one the receipt describes.")
    if stated is not None:
        steps.append("the gateway computed these checks from that answer, and signed them")
    steps.append("the fields are those the receipt names, and no others")
    return Answer(
        exchange=receipt.exchange,
        fields={**record.fields, **results},
        record=record_jwt,
        checks=statement.body.get("checks"),
        receipt=receipt,
        receipt_jws=statement.receipt_jws,
        verified=tuple(steps),
        provider_jwk=record.key,
        # 5. What can be fetched beside it is what the provider signed.
        attachments=attachments_in(statement.body, record.fields, base=request.target_uri, fetcher=asked.fetcher),
    )


def believe_statement(
    request: HttpRequest, response: HttpResponse, *, documents: GatewayDocuments, now: datetime
) -> SignedStatement:
    """Check the gateway's signature over the answer, and the receipt in it; raises as `believe`."""
    # 1. The gateway signed exactly this answer to exactly this request.
    gateway_keys, verified = check_signed(request, response, documents=documents, now=now)
    try:
        body = parse_json_object(response.body)
    except MalformedInput as error:
        raise AnswerNotBelievable("The answer is not JSON.") from error
    exchange, receipt_jws = body.get("exchange"), body.get("receipt")
    # It becomes the name of files, and the gateway chose it: only an id does.
    if exchange is not None and not _is_id(exchange):
        raise AnswerNotBelievable("What the answer names as its exchange is not the id of one.")
    if response.status not in (OK, REFUSED) or not isinstance(receipt_jws, str):
        raise NotAnswered(
            str(body.get("detail") or body.get("title") or "no answer"),
            code=str(body.get("code", "not_answered")),
            status=response.status,
            problem=body,
        )
    if verified.binding != "request":
        raise AnswerNotBelievable("The answer is not bound to this request.")
    # 2. The receipt is the gateway's, and speaks of this request.
    try:
        receipt = verify_receipt(receipt_jws, keys=gateway_keys)
    except GatewayError as error:
        raise AnswerNotBelievable("The receipt does not verify.", detail=error.public) from error
    if receipt.request_digest != digest_b64(request.body) or receipt.exchange != exchange:
        raise AnswerNotBelievable("The receipt is for another request.")
    return SignedStatement(
        status=response.status, body=body, receipt=receipt, receipt_jws=receipt_jws, gateway_keys=gateway_keys
    )


def _is_id(unverified: object) -> bool:
    try:
        # In the one spelling that RFC 9562 §4 has for output: `UUID` reads others, with braces or capitals.
        return isinstance(unverified, str) and str(UUID(unverified)) == unverified
    except ValueError:
        return False


def _believe_record(
    unverified: object, receipt: Receipt, *, documents: GatewayDocuments, now: datetime
) -> VerifiedRecord:
    if not isinstance(unverified, str) or receipt.outcome != "disclosed" or receipt.provider is None:
        raise AnswerNotBelievable("The receipt does not say disclosed.")
    provider = receipt.provider

    def verified(*, fresh: bool) -> VerifiedRecord:
        return verify_sd_jwt(
            unverified,
            keys=documents.member_keys(provider, now, fresh=fresh),
            typ=RECORD_TYP,
            algorithms=SIGNING_ALGORITHMS,
            issuer=provider,
            audience=receipt.consumer,
            now=now,
        )

    try:
        try:
            record = verified(fresh=False)
        except (InvalidJws, InvalidSignature):
            record = verified(fresh=True)  # the provider may have changed keys
    except GatewayUnreachable:
        raise
    except GatewayError as error:
        raise AnswerNotBelievable("The provider's record does not verify.", detail=error.public) from error
    if record.claims.get("jti") != receipt.exchange or record.claims.get("sub") != receipt.handle:
        raise AnswerNotBelievable("The record belongs to another exchange.")
    return record
