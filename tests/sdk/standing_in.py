"""A gateway that stands in for the real one where a test makes it lie: the signatures are real, the lies are named."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from gateway.sdk.metadata import METADATA_PATH, SERVER_METADATA_PATH, GatewayDocuments
from gateway.sdk.possession import ClientCertificate
from gateway.wire.canonical import digest_b64
from gateway.wire.contracts import EXCHANGE_TAG, RECORD_TYP
from gateway.wire.message_signatures import Binding, HttpRequest, HttpResponse, sign_response
from gateway.wire.receipts import FailedRule, Receipt, issue_receipt
from gateway.wire.sd_jwt import issue_sd_jwt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.statements import ISSUER, a_receipt

CONSUMER, PROVIDER, CLIENT = "E06000008", "dwp", "blackburn-portal"
HANDLE = "one-time-handle"
FIELDS = {"eligible": True, "tier": "targeted"}

Respond = Callable[[HttpRequest], HttpResponse]


class NeverAnswered(Exception):
    """The connection broke before the answer came."""


@dataclass(slots=True, kw_only=True)
class StandIn:
    """The documents of a gateway, and answers that a test may change before or after they are signed."""

    clock: FrozenClock
    signer: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("ES256"))
    provider: PrivateKeySigner = field(default_factory=lambda: PrivateKeySigner.generate("ES256"))
    published: PrivateKeySigner | None = None
    """The key that the documents state, where it is another than the one that signs."""
    issuer_stated: str = ISSUER
    padding: str = ""
    stated: dict[str, Any] = field(default_factory=dict)
    """What the documents state besides, or in place of what is so."""
    respond: Respond | None = None
    requests: list[HttpRequest] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    tokens_issued: int = 0

    # --- What it says of itself

    def documents(self, certificate: ClientCertificate | None = None) -> GatewayDocuments:
        """Documents that are fetched from here instead of the network."""
        return _Documents(self, certificate)

    def document(self, path: str) -> Mapping[str, Any]:
        self.fetched.append(path)
        if path == METADATA_PATH:
            return {
                "issuer": self.issuer_stated,
                "padding": self.padding,
                "resource": f"{ISSUER}/sharing/v1",
                "exchanges_endpoint": f"{ISSUER}/sharing/v1/exchanges",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/sharing/v1/jwks.json",
                "member_jwks_uri": f"{ISSUER}/sharing/v1/members/{{member}}/jwks.json",
                "log_vkey": "gateway.example/log+00000000+AAAA",
                **self.stated,
            }
        if path == SERVER_METADATA_PATH:
            endpoint = {"authorization_endpoint": f"{ISSUER}/authorize"}
            return {"issuer": self.issuer_stated, **endpoint, **self.stated}
        if path == "/sharing/v1/jwks.json":
            return {"keys": [(self.published or self.signer).public_jwk()]}
        if path == f"/sharing/v1/members/{PROVIDER}/jwks.json":
            return {"keys": [self.provider.public_jwk()]}
        if path == "/token":
            self.tokens_issued += 1
            issued = {"access_token": f"token-{self.tokens_issued}", "expires_in": 300, "token_type": "Bearer"}
            return {**issued, "padding": self.padding}
        raise AssertionError(path)

    # --- Answers

    def receipt(self, request: HttpRequest, record: str | None, **changes: Any) -> Receipt:
        digest = digest_b64(record.split("~")[0].encode()) if record else None
        return replace(
            a_receipt(
                client=CLIENT,
                request_digest=digest_b64(request.body),
                provider_jwt_digest=digest,
                handle=HANDLE,
                fields_disclosed=tuple(json.loads(request.body)["fields"]) if record else (),
            ),
            **changes,
        )

    def record(
        self, *, signer: PrivateKeySigner | None = None, fields: Mapping[str, Any] = FIELDS, **changes: Any
    ) -> str:
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": PROVIDER,
            "aud": CONSUMER,
            "sub": HANDLE,
            "jti": a_receipt().exchange,
            "iat": now,
            "exp": now + 300,
        }
        return issue_sd_jwt({**claims, **changes}, fields, signer=signer or self.provider, typ=RECORD_TYP)

    def disclosure(
        self,
        request: HttpRequest,
        *,
        record: str | None = None,
        receipt: Mapping[str, Any] | None = None,
        receipt_signer: PrivateKeySigner | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """A disclosure, signed; the arguments say what is not as it should be."""
        stated = record or self.record()
        issued = issue_receipt(self.receipt(request, stated, **(receipt or {})), signer=receipt_signer or self.signer)
        body = {"exchange": a_receipt().exchange, "record": stated, "receipt": issued, **(content or {})}
        return self.sign(HttpResponse(status=200, body=json.dumps(body).encode()), request)

    def refusal(
        self,
        request: HttpRequest,
        *,
        binding: Binding = "request",
        content: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> HttpResponse:
        """A refusal, signed; `changes` are the receipt's."""
        rule = FailedRule(code="field_not_covered", title="Not covered", rule="fields-are-covered")
        terms = {"decision": "deny", "outcome": "refused", "rules": (rule,), **changes}
        issued = issue_receipt(self.receipt(request, None, **terms), signer=self.signer)
        body = {"code": "refused", "exchange": a_receipt().exchange, "receipt": issued, **(content or {})}
        return self.sign(HttpResponse(status=403, body=json.dumps(body).encode()), request, binding=binding)

    def problem(
        self, request: HttpRequest, status: int, code: str, headers: Mapping[str, str] | None = None, **members: object
    ) -> HttpResponse:
        """An error, signed; without a receipt unless it is among the `members`."""
        body = json.dumps({"code": code, "title": code, "status": status, **members}).encode()
        return self.sign(HttpResponse(status=status, headers=headers or {}, body=body), request)

    def sign(self, response: HttpResponse, request: HttpRequest, *, binding: Binding = "request") -> HttpResponse:
        return sign_response(
            response, request=request, signer=self.signer, created=self.clock.now(), tag=EXCHANGE_TAG, binding=binding
        )


class _Documents(GatewayDocuments):
    """Documents of this gateway, in whichever thread."""

    def __init__(self, gateway: StandIn, certificate: ClientCertificate | None) -> None:
        super().__init__(ISSUER, certificate=certificate)
        self._gateway = gateway

    def session(self) -> requests.Session:
        found = super().session()
        found.mount(ISSUER, _Adapter(self._gateway))
        return found


class _Adapter(BaseAdapter):
    """What `requests` calls instead of the network."""

    def __init__(self, gateway: StandIn) -> None:
        super().__init__()
        self._gateway = gateway

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:  # type: ignore[override]
        path = urlsplit(str(request.url)).path
        if not path.startswith("/sharing/v1/exchanges"):
            return _response(request, HttpResponse(status=200, body=json.dumps(self._gateway.document(path)).encode()))
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        asked = HttpRequest(
            method=str(request.method), target_uri=str(request.url), headers=dict(request.headers), body=body
        )
        self._gateway.requests.append(asked)
        try:
            answer = (self._gateway.respond or self._gateway.disclosure)(asked)
        except NeverAnswered as error:
            raise requests.ConnectionError from error
        return _response(request, answer)

    def close(self) -> None:
        """Nothing is open."""


def _response(request: requests.PreparedRequest, answer: HttpResponse) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers.update(answer.headers)
    # As it is off the network, where `requests` undoes what is compressed.
    response.raw = HTTPResponse(body=BytesIO(answer.body), headers=response.headers, preload_content=False)
    response.request = request
    response.url = str(request.url)
    return response
