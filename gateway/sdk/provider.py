"""Answer questions: a department writes one function a service, the kit does the rest.

    provider = Provider(member="dwp", key="dwp.pem", gateway="https://gateway.example", origin="https://api.dwp.example",
                        services={"dwp/free-school-meals/v1": answer})
    application = provider.wsgi          # any WSGI server

`answer(question) -> dict | Found | NoRecord` returns the fields it was asked for. The kit accepts only questions signed
by the gateway, each nonce once, holds answers to the service's schema, and signs records and answers. The value of a
field may be an `Attachment`: the kit keeps the document until the gateway fetches it.

It logs one line a question to `gateway.sdk.provider`, and never anything about a person. `/healthz` says that the
process lives, `/readyz` that it has the gateway's keys.
"""

import json
import logging
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Kind
from gateway.sdk.answer_schemas import AnswerSchema
from gateway.sdk.attaching import ATTACHMENT_PATH, Attachment, AttachmentFolder
from gateway.sdk.keys import signer_from
from gateway.sdk.metadata import GatewayDocuments
from gateway.sdk.nonces import Nonces, SeenNonces
from gateway.sdk.questions import AnswerFunction, AskedQuestion, Found, NoRecord, RecordUnusable, parse_question
from gateway.sdk.sealing import (
    AgreedCheck,
    AgreedChecks,
    AgreedKeys,
    CheckRefused,
    EncryptionRefused,
    check_agreed,
    check_encryption,
    sealed,
)
from gateway.sdk.wsgi import JSON, StartResponse, WsgiApplication, problem, request_of, send
from gateway.wire.contracts import CHECK_NOT_COMPUTED, NO_RECORD, PROVIDER_TAG, RECORD_TYP, RECORD_UNUSABLE
from gateway.wire.encoding import b64_encode, b64url_decode
from gateway.wire.errors import ExpressionFailed, InvalidExpression, InvalidMessageSignature, MalformedInput
from gateway.wire.expressions import compute
from gateway.wire.keys import Jwk, find_key
from gateway.wire.message_signatures import (
    HttpRequest,
    HttpResponse,
    sign_response,
    sign_response_head,
    verify_request,
)
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import Signer

__all__ = [
    "AgreedCheck",
    "AnswerFunction",
    "AskedQuestion",
    "Attachment",
    "Found",
    "NoRecord",
    "Provider",
    "RecordUnusable",
    "StartResponse",
    "WsgiApplication",
]

# Longer than the gateway keeps an answer for an honest retry, which must still find the record believable.
RECORD_LIFETIME = timedelta(minutes=20)
HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"

log = logging.getLogger("gateway.sdk.provider")


class QuestionRefused(GatewayError):
    """What arrived is not a question from the gateway."""

    kind = Kind.UNAUTHENTICATED
    code = "question_refused"
    title = "This is not a question from the gateway"


class NoFolderForAttachments(GatewayError):
    """A function returned a document, and the provider was made without `attachments`."""

    code = "no_folder_for_attachments"
    title = "A provider whose functions return documents needs a folder for them"


class Provider:
    """A provider as a WSGI application. Assembles only: the gateway's keys are fetched with the first question.

    `member` is the provider's code, `key` its registered signing key (a PEM file or a `Signer`), `origin` the address
    under which the gateway calls it (scheme and host). `schemas` are the JSON Schemas of services' fields, as the
    catalogue has them. `attachments` is a folder of its own for documents, needed only where a function returns some.
    `encrypted` says which services answer so that the consumer alone can read it, and to which keys under which
    agreement (`sealing.AgreedKeys`); `checks`, which checks those compute, and no others (`sealing.AgreedChecks`).
    Where several processes answer, they share `nonces` (`nonces.SharedNonces`) and that folder; by default a process
    remembers its own nonces.
    """

    def __init__(
        self,
        *,
        member: str,
        key: Signer | Path | str,
        gateway: str,
        origin: str,
        services: Mapping[str, AnswerFunction],
        schemas: Mapping[str, Mapping[str, Any]] | None = None,
        attachments: Path | None = None,
        encrypted: AgreedKeys | None = None,
        checks: AgreedChecks | None = None,
        nonces: Nonces | None = None,
        ca_file: Path | None = None,
        clock: Clock | None = None,
        documents: GatewayDocuments | None = None,
    ) -> None:
        self._member = member
        self._signer = signer_from(key)
        self._origin = origin.rstrip("/")
        self._services = dict(services)
        self._schemas = {service: AnswerSchema(schema) for service, schema in (schemas or {}).items()}
        self._attachments = AttachmentFolder(attachments) if attachments is not None else None
        self._encrypted = {service: dict(keys) for service, keys in (encrypted or {}).items()}
        self._checks = dict(checks or {})
        self._nonces = nonces or SeenNonces()
        self._clock = clock or SystemClock()
        self._documents = documents or GatewayDocuments(gateway, ca_file=ca_file)

    def wsgi(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request (PEP 3333)."""
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] in (HEALTH_PATH, READY_PATH):
            return send(start_response, self._health(environ["PATH_INFO"]))
        request = request_of(environ, self._origin)
        if request is None:
            return send(start_response, problem(413, "request_too_large", "The question is too large"))
        if request.method == "GET":
            return self._give_document(environ["PATH_INFO"], request, start_response)
        response = self.answer(request)
        if response.status != HTTPStatus.UNAUTHORIZED:
            response = sign_response(
                response, request=request, signer=self._signer, created=self._clock.now(), tag=PROVIDER_TAG
            )
        return send(start_response, response)

    def _give_document(self, path: str, request: HttpRequest, start_response: StartResponse) -> Iterable[bytes]:
        now = self._clock.now()
        try:
            self._check_from_gateway(request, now=now)
        except GatewayError as error:
            log.warning("request for a document refused: %s", error.public)
            return send(start_response, problem(401, error.code, error.public))
        asked = ATTACHMENT_PATH.search(path)
        document = self._attachments.find(asked[1], asked[2], now=now) if asked and self._attachments else None
        if asked is None or document is None:
            absent = problem(404, "attachment_not_found", "There is no such document")
            signed = sign_response(absent, request=request, signer=self._signer, created=now, tag=PROVIDER_TAG)
            return send(start_response, signed)
        log.info("document sent: exchange=%s bytes=%d", asked[1], document.size)
        # The document's digest is known beforehand, so that it can be signed before it is read.
        headers = {
            "Content-Type": document.media_type,
            "Content-Length": str(document.size),
            "Content-Digest": f"sha-256=:{b64_encode(b64url_decode(asked[2]))}:",
        }
        head = sign_response_head(
            HttpResponse(status=200, headers=headers),
            request=request,
            signer=self._signer,
            created=now,
            tag=PROVIDER_TAG,
        )
        start_response("200 OK", list(head.headers.items()))
        return document

    def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the answer to one request, not yet signed."""
        now = self._clock.now()
        try:
            self._check_from_gateway(request, now=now)
        except GatewayError as error:
            log.warning("question refused: %s", error.public)
            return problem(401, error.code, error.public)
        try:
            question = parse_question(request.body)
        except MalformedInput as error:
            return problem(400, "malformed_question", error.public)
        function = self._services.get(question.service)
        if function is None:
            return problem(404, "unknown_service", "This provider does not answer that service")
        try:
            check_encryption(question, agreed=self._encrypted)
            question = check_agreed(question, checks=self._checks, keys=self._encrypted)
        except (EncryptionRefused, CheckRefused) as error:
            asked_under = (question.service, question.agreement)
            log.warning("question refused: %s: service=%s agreement=%s", error.public, *asked_under)
            return problem(403, error.code, error.public)
        began = time.monotonic()
        try:
            response, outcome = self._answer_with(function, question, now)
        except Exception as error:  # noqa: BLE001 - whatever a department's function raises, the gateway is told
            # What an error says may be about the person; where it was raised is not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("answer failed: %s at %s:%s", type(error).__name__, place.filename, place.lineno)  # noqa: TRY400
            response, outcome = problem(500, "provider_failed", "The provider could not answer"), "failed"
        log.info(
            "question answered: exchange=%s service=%s consumer=%s outcome=%s milliseconds=%d",
            question.exchange,
            question.service,
            question.consumer,
            outcome,
            (time.monotonic() - began) * 1000,
        )
        return response

    def _answer_with(
        self, function: AnswerFunction, question: AskedQuestion, now: datetime
    ) -> tuple[HttpResponse, str]:
        try:
            found = function(question)
        except RecordUnusable as error:
            return _unusable(question, [str(error)], about=_about(error))
        if isinstance(found, NoRecord):
            # Why stays between provider and gateway, and out of the log.
            return problem(404, NO_RECORD, "No record", reason=found.reason), NO_RECORD
        if not isinstance(found, Found):
            found = Found(fields=found)
        # Only what was asked for: a function that returns more than the question does not disclose it.
        asked = {
            name: self._value(found.fields[name], question, now) for name in question.fields if name in found.fields
        }
        problems = self._problems_in(asked, question)
        if problems:
            return _unusable(question, problems, about=_about(found))
        try:
            record = self._record(question, {**_disclosed(asked, question), **_computed(asked, question)}, now)
        except (ExpressionFailed, InvalidExpression) as error:
            log.error("a check of %s could not be computed: %s", question.agreement, error.code)  # noqa: TRY400 - as above
            not_computed = problem(422, CHECK_NOT_COMPUTED, "A check could not be computed", **_about(found))
            return not_computed, CHECK_NOT_COMPUTED
        parts = sealed(record, to=question.encrypt_to) if question.encrypt_to is not None else {"record": record}
        body = {**parts, **_about(found)}
        return HttpResponse(status=200, headers=JSON, body=json.dumps(body).encode()), "answered"

    def _value(self, value: Any, question: AskedQuestion, now: datetime) -> Any:
        if not isinstance(value, Attachment):
            return value
        if self._attachments is None:
            raise NoFolderForAttachments
        return self._attachments.keep(value, exchange=question.exchange, now=now)

    def _problems_in(self, fields: Mapping[str, Any], question: AskedQuestion) -> Sequence[str]:
        missing = [f"{name}: is missing" for name in question.fields if name not in fields]
        schema = self._schemas.get(question.service)
        return [*missing, *(schema.problems_in(fields) if schema is not None else ()), *_no_json_in(fields)]

    def _health(self, path: str) -> HttpResponse:
        if path == READY_PATH:
            try:
                self._documents.gateway_keys(self._clock.now())
            except GatewayError as error:
                return problem(503, error.code, error.public)
        return HttpResponse(status=200, headers=JSON, body=b'{"status": "ok"}')

    def _record(self, question: AskedQuestion, fields: Mapping[str, Any], now: datetime) -> str:
        claims = {
            "iss": self._member,
            "aud": question.audience,
            "sub": question.handle,
            "jti": question.exchange,
            "iat": int(now.timestamp()),
            "exp": int((now + RECORD_LIFETIME).timestamp()),
        }
        padded = question.encrypt_to is not None
        return issue_sd_jwt(claims, fields, signer=self._signer, typ=RECORD_TYP, padded=padded)

    def _check_from_gateway(self, request: HttpRequest, *, now: datetime) -> None:
        issuer = self._documents.issuer
        keys = self._documents.gateway_keys(now)

        def keys_of(client_id: str, kid: str) -> Jwk | None:
            if client_id != issuer:
                return None
            # An unknown key may be a new one of the gateway's: look once more, though not for everybody.
            return find_key(keys, kid) or find_key(self._documents.gateway_keys_again(now), kid)

        try:
            verified = verify_request(request, keys_of=keys_of, tag=PROVIDER_TAG, now=now)
        except InvalidMessageSignature as error:
            raise QuestionRefused(error.public) from error
        if not self._nonces.first_use(f"{verified.key_id} {verified.nonce}", now=now):
            raise QuestionRefused("this question was sent before")


def _disclosed(fields: Mapping[str, Any], question: AskedQuestion) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in question.undisclosed}


def _computed(fields: Mapping[str, Any], question: AskedQuestion) -> dict[str, Any]:
    """Return what the checks give; raises `ExpressionFailed` or `InvalidExpression`."""
    return {
        check.name: compute(
            check.expression,
            values={name: fields[name] for name in check.from_},
            thresholds=question.thresholds,
            gives=check.gives,
        )
        for check in question.checks
    }


def _no_json_in(fields: Mapping[str, Any]) -> Iterable[str]:
    for name, value in fields.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            yield f"{name}: is no JSON"


def _unusable(
    question: AskedQuestion, problems: Sequence[str], *, about: Mapping[str, Any]
) -> tuple[HttpResponse, str]:
    # Not a 5xx: that would count for everybody, and whoever asks about this person could close the service to all.
    log.error("answer not sent, it breaks the schema of %s: %s", question.service, "; ".join(problems))
    return problem(422, RECORD_UNUSABLE, "What is kept of this person cannot be told", **about), RECORD_UNUSABLE


def _about(found: Found | RecordUnusable) -> dict[str, Any]:
    """Return what is told to the gateway alone, or nothing."""
    stated = {"match_level": found.match_level, "area": found.area}
    about = {name: value for name, value in stated.items() if value is not None}
    return {"about": about} if about else {}
