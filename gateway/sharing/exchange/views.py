"""The door: read, authenticate, check the signature, parse, ask the broker, sign the answer.

Every answer of this door is signed, refusals and errors included. An answer to a request whose own signature was not
accepted is bound only to its method, target and body.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from flask import Blueprint, Response, g, request
from marshmallow import ValidationError
from werkzeug.exceptions import MethodNotAllowed, RequestEntityTooLarge

from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Jwk
from gateway.errors import GatewayError, Kind, Unavailable
from gateway.identity.caller import Caller, CallerFromRequest, Presented
from gateway.sharing.catalogue.services import find_service
from gateway.sharing.exchange.asked import Asked, TurnedAway
from gateway.sharing.exchange.documents.releasing import AskedAttachment, Releases
from gateway.sharing.exchange.errors import (
    BodyTooLarge,
    BodyUnreadable,
    IdempotencyKeyInvalid,
    RequestInvalid,
    RequestSignatureInvalid,
    WrongMediaType,
)
from gateway.sharing.exchange.exchange import Broker
from gateway.sharing.exchange.limits.quotas import Quota, QuotaExceeded, Quotas, Spent
from gateway.sharing.exchange.outcomes import Reply
from gateway.sharing.exchange.schemas import RecordRequest, RecordRequestSchema, SubjectByMatch
from gateway.web.problems import STATUS, problem_response
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import EXCHANGE_TAG, MAX_REQUEST_BYTES
from gateway.wire.encoding import b64_encode, parse_json_object
from gateway.wire.errors import MalformedInput
from gateway.wire.keys import thumbprint
from gateway.wire.message_signatures import (
    HeaderFields,
    HttpRequest,
    HttpResponse,
    sign_response,
    sign_response_head,
    verify_request,
)
from gateway.wire.signer import Signer

# The first entry about a person takes some milliseconds longer than the next. A caller who is refused for its own sake
# must not learn from that whether anybody ever asked about them.
REFUSAL_SECONDS = 0.2
LEAST_BYTES_A_SECOND = 256_000
"""Who receives a document more slowly is cut off, and may try once more."""

_FORM = RecordRequestSchema()

_ATTACHMENT = "/exchanges/<uuid:exchange>/attachments/<int(min=1, max=999):number>"

AccountFor = Callable[[GatewayError, str], None]
"""Accounts for a request that was not let in: why, and its source address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeDoor:
    """What the door needs."""

    broker: Broker
    quotas: Quotas
    database: Database
    caller_from_request: CallerFromRequest
    account_for: AccountFor
    signer: Callable[[], Signer]
    clock: Clock
    issuer: str
    mtls: str | None
    """The base address for clients with certificates, where it is not the issuer."""
    releases: Releases
    check_published: Callable[[], None]
    """Raises while the log is not published: nothing is released then."""

    def ask(self) -> Response:
        """Answer `POST /sharing/v1/exchanges`."""
        arrived = time.monotonic()
        message, caller = self._begin()
        try:
            asked = self._understand(message, caller, arrived=arrived)
        except GatewayError as error:
            self._account_for(caller, error)
            raise
        reply = self.broker.request_record(asked)
        if isinstance(reply, TurnedAway):
            raise reply.error
        if reply.hides_the_reason:
            # Unknown, ambiguous and withheld people are told apart by nothing, the time included.
            time.sleep(max(0.0, asked.leaves_at - time.monotonic()))
        return _answer(reply, arrived=arrived)

    def fetch(self, exchange: UUID, number: int) -> Response:
        """Answer `GET /sharing/v1/exchanges/{exchange}/attachments/{number}`."""
        arrived = time.monotonic()
        if request.method != "GET":
            raise MethodNotAllowed(valid_methods=["GET"])  # HEAD would use up what is given once, for nothing
        head, caller = self._begin()
        try:
            message, proof = self._proved(head, caller)
            asked = AskedAttachment(
                caller=caller,
                exchange=exchange,
                number=number,
                idempotency_key=_idempotency_key(message),
                target=message.target_uri,
                key_id=proof.key_id,
                nonce=proof.nonce,
            )
        except GatewayError as error:
            self._account_for(caller, error)
            raise
        released = self.releases.release(asked)
        if isinstance(released, TurnedAway):
            raise released.error
        if isinstance(released, Reply):
            # Nothing is hidden in time: that there is a record was told before, with the record.
            return _answer(released, arrived=arrived)
        ends = time.monotonic() + sending_seconds(released.size)
        response = Response(_sent_until(ends, released.pieces), content_type=released.media_type)
        response.content_length = released.size
        response.headers["Content-Digest"] = f"sha-256=:{b64_encode(released.digest)}:"
        return response

    def _begin(self) -> tuple[HttpRequest, Caller]:
        message: HttpRequest = _head_of_request(self._base())
        g.exchange_message = message
        g.exchange_binding = "target"
        g.exchange_standings = []
        self.check_published()
        return message, self._authenticate(message)

    def _base(self) -> str:
        # RFC 8705 §5: where there is an address for certificates, a request that shows one was made for that address.
        shown = "gateway.client_certificate" in request.environ
        return self.mtls if shown and self.mtls is not None else self.issuer

    def sign(self, response: Response) -> Response:
        """Sign whatever answer leaves by this door."""
        message = g.get("exchange_message")
        if message is None:  # no such method here: there is no request to bind an answer to
            return response
        response.headers.update(self.quotas.fields(g.exchange_standings))
        signer, now = self.signer(), self.clock.now()
        if response.is_streamed:  # a document, whose digest was known beforehand
            head = HttpResponse(
                status=response.status_code, headers={"Content-Digest": response.headers["Content-Digest"]}
            )
            signed = sign_response_head(head, request=message, signer=signer, created=now, tag=EXCHANGE_TAG)
        else:
            signed = sign_response(
                HttpResponse(status=response.status_code, body=response.get_data()),
                request=message,
                signer=signer,
                created=now,
                tag=EXCHANGE_TAG,
                binding=g.exchange_binding,
            )
        response.headers.update(signed.headers)
        return response

    def _authenticate(self, message: HttpRequest) -> Caller:
        try:
            return self.caller_from_request(_presented(message), self.clock.now())
        except Unavailable:
            raise  # ours, not the caller's; and asking the database again would double the time until the answer
        except GatewayError as error:
            self.account_for(error, request.remote_addr or "")
            raise

    def _proved(self, head: HttpRequest, caller: Caller) -> tuple[HttpRequest, "_Proof"]:
        """Return the whole request, and what proves whose it is; from here on it is the member's quota that it spends.

        Whoever took a token and has no key spends another quota with it, and never the member's.
        """
        try:
            message = replace(head, body=_body_of_request())
            g.exchange_message = message
            proof = _check_signature(message, caller, now=self.clock.now())
        except GatewayError:
            self._spend(self.quotas.unproved, caller.client.client_id)
            raise
        g.exchange_binding = "request"
        self._spend(self.quotas.member, caller.member_code)
        return message, proof

    def _spend(self, quota: Quota, owner: str) -> None:
        """Take one request from a quota; raises `QuotaExceeded`."""
        taken = self.quotas.take(quota, owner, now=self.clock.now())
        if isinstance(taken, Spent):
            g.exchange_standings.append(taken.standing)
            raise QuotaExceeded(taken)
        if quota is not self.quotas.unproved:
            g.exchange_standings.append(taken)

    def _account_for(self, caller: Caller, error: GatewayError) -> None:
        if isinstance(error, Unavailable):
            return  # ours, not the caller's: there is nothing to record, and nothing to record it in
        if isinstance(error, QuotaExceeded) and error.told_before:
            return  # once in a minute: a flood must not become a log
        self.broker.record_rejection(caller, error)

    def _understand(self, head: HttpRequest, caller: Caller, *, arrived: float) -> Asked:
        """Check the signature first: what was not proved to come from the client is not even parsed."""
        message, proof = self._proved(head, caller)
        idempotency_key = _idempotency_key(message)
        body = _parse(message)
        with self.database.read() as session:
            service = find_service(session, body.service)
        if service is not None and isinstance(body.subject, SubjectByMatch):
            problems = service.problems_in_match(body.subject.attributes)
            if problems:
                raise RequestInvalid(extensions={"errors": {"subject": {"match": list(problems)}}})
        return Asked(
            caller=caller,
            request=body,
            request_digest=digest_b64(message.body),
            idempotency_key=idempotency_key,
            target=message.target_uri,
            key_id=proof.key_id,
            key_thumbprint=proof.key_thumbprint,
            nonce=proof.nonce,
            leaves_at=arrived + (service.answer_seconds if service else 0.0),
            standings=g.exchange_standings,
        )


def blueprint(door: ExchangeDoor) -> Blueprint:
    """Serve asking for records under `/sharing/v1`."""
    routes = Blueprint("exchange", __name__, url_prefix="/sharing/v1")
    routes.add_url_rule("/exchanges", view_func=door.ask, methods=["POST"])
    routes.add_url_rule(_ATTACHMENT, view_func=door.fetch, methods=["GET"])
    routes.register_error_handler(GatewayError, problem_response)
    routes.after_request(door.sign)
    return routes


def sending_seconds(size: int) -> float:
    """Return how long a client may take to receive so many bytes: a thread of the server's waits for it."""
    return 10.0 + size / LEAST_BYTES_A_SECOND


def _sent_until(ends: float, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give the pieces on, while the server may wait for nobody beyond `ends`, on `time.monotonic`'s scale."""
    # gunicorn's own; without it, whoever reads nothing would hold a thread for ever.
    socket = request.environ.get("gunicorn.socket")

    def sent() -> Iterator[bytes]:
        for piece in pieces:
            if socket is not None:
                socket.settimeout(max(0.001, ends - time.monotonic()))
            yield piece

    return sent()


def _answer(reply: Reply, *, arrived: float) -> Response:
    if reply.status == STATUS[Kind.REFUSED] and not reply.hides_the_reason:
        time.sleep(max(0.0, arrived + REFUSAL_SECONDS - time.monotonic()))
    kind = "application/json" if reply.status < 400 else "application/problem+json"  # noqa: PLR2004 - HTTP's classes
    response = Response(reply.body, reply.status, content_type=kind)
    if reply.retry_after is not None:
        response.headers["Retry-After"] = str(reply.retry_after)
    return response


def _head_of_request(base: str) -> HttpRequest:
    """Take the request as it was sent: the raw target, not the decoded path, under an authority of our own."""
    raw = str(request.environ.get("RAW_URI") or request.environ["PATH_INFO"])
    if not raw.startswith("/"):
        # RFC 9112 §3.2.2: a target may come in absolute form. Like a Host header, the authority it names is not
        # believed: what was signed for another gateway must not be taken for a request to this one.
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    parts = urlsplit(base)
    target = f"{parts.scheme}://{parts.netloc}{raw}"
    return HttpRequest(method=request.method, target_uri=target, headers=HeaderFields(request.headers))


def _presented(message: HttpRequest) -> Presented:
    return Presented(
        method=message.method,
        endpoint=message.target_uri.partition("?")[0],
        authorization=tuple(request.headers.getlist("Authorization")),
        dpop=tuple(request.headers.getlist("DPoP")),
        certificate=request.environ.get("gateway.client_certificate"),
    )


def _body_of_request() -> bytes:
    too_large = BodyTooLarge(f"A request may have at most {MAX_REQUEST_BYTES} bytes.")
    # One byte more than may be: a body sent in chunks is cut off at the limit without a word.
    request.max_content_length = MAX_REQUEST_BYTES + 1
    try:
        body = request.get_data()
    except RequestEntityTooLarge as error:
        raise too_large from error
    if len(body) > MAX_REQUEST_BYTES:
        raise too_large
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proof:
    """The `kid` and the RFC 7638 thumbprint of the key that signed, and the nonce."""

    key_id: str
    key_thumbprint: str
    nonce: str


def _check_signature(message: HttpRequest, caller: Caller, *, now: datetime) -> _Proof:
    def keys_of(client_id: str, kid: str) -> Jwk | None:
        # The client of the keyid must be the token's: another client's signature proves nothing about this token.
        return caller.client.key(kid) if client_id == caller.client.client_id else None

    try:
        verified = verify_request(message, keys_of=keys_of, tag=EXCHANGE_TAG, now=now)
    except GatewayError as error:
        raise RequestSignatureInvalid(error.public, extensions={"cause": error.code}) from error
    return _Proof(
        key_id=verified.key_id,
        key_thumbprint=thumbprint(caller.client.key(verified.key_id) or {}),
        nonce=verified.nonce,
    )


def _idempotency_key(message: HttpRequest) -> str:
    text = message.headers.get("Idempotency-Key", "")
    try:
        key = UUID(text)
    except ValueError:
        raise IdempotencyKeyInvalid from None
    if str(key) != text.lower():
        raise IdempotencyKeyInvalid
    return str(key)


def _parse(message: HttpRequest) -> RecordRequest:
    media_type = message.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise WrongMediaType
    try:
        parsed = parse_json_object(message.body)
    except MalformedInput as error:
        raise BodyUnreadable(error.public) from error
    try:
        loaded: RecordRequest = _FORM.load(parsed)
    except ValidationError as error:
        # Marshmallow's messages name fields and rules, never the values sent.
        raise RequestInvalid(extensions={"errors": error.messages_dict}) from error
    return loaded
