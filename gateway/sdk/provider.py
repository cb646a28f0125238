"""Answer questions: a department writes one function a service, the kit does the rest.

    provider = Provider(member="dwp", signer=signer, gateway="https://gateway.example", origin="https://api.dwp.example",
                        services={"dwp/free-school-meals/v1": answer})
    application = provider.wsgi          # any WSGI server

`answer(question) -> dict | NoRecord` returns the fields it was asked for. The kit accepts only questions signed by the
gateway, each nonce once, and signs records and answers.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Kind
from gateway.sdk.metadata import GatewayDocuments
from gateway.wire.contracts import MAX_REQUEST_BYTES, NO_RECORD, PROVIDER_TAG, RECORD_TYP
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import InvalidMessageSignature, MalformedInput
from gateway.wire.keys import Jwk, find_key
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_response, verify_request
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import Signer

# Longer than the gateway keeps an answer for an honest retry, which must still find the record believable.
RECORD_LIFETIME = timedelta(minutes=20)
NONCE_KEPT = timedelta(minutes=2)
HEALTH_PATH = "/healthz"

log = logging.getLogger("gateway.sdk.provider")

StartResponse = Callable[..., Any]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """What the gateway asks. `subject` is `{"sub": …}`, your own name for the person, or `{"match": {…}}`."""

    exchange: str
    service: str
    purpose: str
    agreement: str
    consumer: str
    subject: Mapping[str, Any] = field(repr=False)
    handle: str = field(repr=False)
    fields: tuple[str, ...]
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRecord:
    """There is nothing to say about this person. The gateway keeps the reason to itself."""

    reason: Literal["unknown", "ambiguous", "withheld"] = "unknown"


AnswerFunction = Callable[[AskedQuestion], Mapping[str, Any] | NoRecord]


class QuestionRefused(GatewayError):
    """What arrived is not a question from the gateway."""

    kind = Kind.UNAUTHENTICATED
    code = "question_refused"
    title = "This is not a question from the gateway"


class Provider:
    """A provider as a WSGI application. Assembles only: the gateway's keys are fetched with the first question."""

    def __init__(
        self,
        *,
        member: str,
        signer: Signer,
        gateway: str,
        origin: str,
        services: Mapping[str, AnswerFunction],
        clock: Clock | None = None,
        ca_file: Path | None = None,
        documents: GatewayDocuments | None = None,
    ) -> None:
        self._member = member
        self._signer = signer
        self._origin = origin.rstrip("/")
        self._services = dict(services)
        self._clock = clock or SystemClock()
        self._documents = documents or GatewayDocuments(gateway, ca_file=ca_file)
        self._nonces = SeenNonces()

    def wsgi(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request (PEP 3333)."""
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] == HEALTH_PATH:
            return _send(start_response, HttpResponse(status=200, headers=_JSON, body=b'{"status": "ok"}'))
        request = _request_of(environ, self._origin)
        if request is None:
            return _send(start_response, _problem(413, "request_too_large", "The question is too large"))
        response = self.answer(request)
        if response.status != HTTPStatus.UNAUTHORIZED:
            response = sign_response(
                response, request=request, signer=self._signer, created=self._clock.now(), tag=PROVIDER_TAG
            )
        return _send(start_response, response)

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the answer to one request, not yet signed."""
        now = self._clock.now()
        try:
            self._check_from_gateway(request, now=now)
        except GatewayError as error:
            log.warning("question refused: %s", error.public)
            return _problem(401, error.code, error.public)
        try:
            question = _parse(request.body)
        except MalformedInput as error:
            return _problem(400, "malformed_question", error.public)
        function = self._services.get(question.service)
        if function is None:
            return _problem(404, "unknown_service", "This provider does not answer that service")
        found = function(question)
        if isinstance(found, NoRecord):
            problem = {"title": "No record", "status": 404, "code": NO_RECORD, "reason": found.reason}
            return HttpResponse(status=404, headers=_PROBLEM, body=json.dumps(problem).encode())
        return HttpResponse(
            status=200, headers=_JSON, body=json.dumps({"record": self._record(question, found, now)}).encode()
        )

    def _record(self, question: AskedQuestion, found: Mapping[str, Any], now: datetime) -> str:
        claims = {
            "iss": self._member,
            "aud": question.audience,
            "sub": question.handle,
            "jti": question.exchange,
            "iat": int(now.timestamp()),
            "exp": int((now + RECORD_LIFETIME).timestamp()),
        }
        # Only what was asked for: a function that returns more than the question does not disclose it.
        fields = {name: found[name] for name in question.fields if name in found}
        return issue_sd_jwt(claims, fields, signer=self._signer, typ=RECORD_TYP)

    def _check_from_gateway(self, request: HttpRequest, *, now: datetime) -> None:
        issuer = self._documents.issuer
        keys = self._documents.gateway_keys(now)

        def keys_of(client_id: str, kid: str) -> Jwk | None:
            if client_id != issuer:
                return None
            # An unknown key may be a new one of the gateway's: look once more before refusing.
            return find_key(keys, kid) or find_key(self._documents.gateway_keys(now, fresh=True), kid)

        try:
            verified = verify_request(request, keys_of=keys_of, tag=PROVIDER_TAG, now=now)
        except InvalidMessageSignature as error:
            raise QuestionRefused(error.public) from error
        if not self._nonces.first_use(f"{verified.key_id} {verified.nonce}", now=now):
            raise QuestionRefused("this question was sent before")


class SeenNonces:
    """Remembers nonces for as long as a signature could be accepted; safe in the threads of one process."""

    def __init__(self) -> None:
        self._seen: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def first_use(self, nonce: str, *, now: datetime) -> bool:
        """Tell whether this nonce is new, and remember it."""
        with self._lock:
            # Insertion order is order of expiry, so only the front can be over.
            while self._seen and next(iter(self._seen.values())) < now:
                del self._seen[next(iter(self._seen))]
            if nonce in self._seen:
                return False
            self._seen[nonce] = now + NONCE_KEPT
            return True


_JSON = {"Content-Type": "application/json"}
_PROBLEM = {"Content-Type": "application/problem+json"}


def _problem(status: int, code: str, title: str) -> HttpResponse:
    body = json.dumps({"title": title, "status": status, "code": code}).encode()
    return HttpResponse(status=status, headers=_PROBLEM, body=body)


def _parse(body: bytes) -> AskedQuestion:
    asked = parse_json_object(body)
    names = ("exchange", "service", "purpose", "agreement", "consumer", "handle", "audience")
    if not all(isinstance(asked.get(name), str) for name in names):
        raise MalformedInput("the question lacks a member")
    subject, wanted = asked.get("subject"), asked.get("fields")
    if not isinstance(subject, dict) or not isinstance(wanted, list) or not all(isinstance(n, str) for n in wanted):
        raise MalformedInput("the question's subject or fields cannot be read")
    return AskedQuestion(subject=subject, fields=tuple(wanted), **{name: asked[name] for name in names})


def _request_of(environ: Mapping[str, Any], origin: str) -> HttpRequest | None:
    """Take the request as sent, or None when its body is too large to be a question."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
        return None
    raw = environ.get("RAW_URI") or environ["PATH_INFO"]
    headers = {name[5:].replace("_", "-"): str(value) for name, value in environ.items() if name.startswith("HTTP_")}
    headers["Content-Type"] = str(environ.get("CONTENT_TYPE", ""))
    return HttpRequest(
        method=environ["REQUEST_METHOD"],
        target_uri=origin + raw,
        headers=headers,
        body=environ["wsgi.input"].read(int(length)),
    )


def _send(start_response: StartResponse, response: HttpResponse) -> Iterable[bytes]:
    headers = [(name, value) for name, value in response.headers.items() if name.lower() != "content-length"]
    headers.append(("Content-Length", str(len(response.body))))
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
    return [response.body]
