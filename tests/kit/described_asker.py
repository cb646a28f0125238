"""How the generated requests of a schemathesis run get past the doors: its hooks, loaded by that program.

Whoever starts it names a file in GATEWAY_TEST_ASKER: addresses, tokens, a key (see `Asker`). Requests to the exchange
are signed as they are sent, so that generated bodies are judged and not only turned away; half of those that ask for
tokens are authenticated, and half of the addresses name what there is. Which half goes by what was generated, so that
a run can be repeated.
"""

import json
import os
import re
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zlib import crc32

import requests
import schemathesis
from requests.auth import AuthBase

from gateway.clock import SystemClock
from gateway.sdk.tokens import ASSERTION_TYPE
from gateway.sharing.exchange.schemas import RecordRequestSchema
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.jws import issue_jwt
from gateway.wire.message_signatures import HttpRequest, sign_request
from gateway.wire.signer import PrivateKeySigner

EXCHANGES = "/sharing/v1/exchanges"
WITH_CLIENT_AUTHENTICATION = ("/token", "/par", "/introspect", "/revoke")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks: a client and its key; an officer's tokens; a registration; an auditor's session; what may be asked."""

    issuer: str
    client_id: str
    member: str
    key_file: str
    sharing_token: str
    userinfo_token: str
    initial_token: str
    exchange: str
    registration: str
    registration_token: str
    cookie: str
    question: dict[str, Any]

    @property
    def signer(self) -> PrivateKeySigner:
        """The client's key."""
        return PrivateKeySigner.from_pem(Path(self.key_file).read_bytes())

    def assertion(self) -> str:
        """A client assertion, used once."""
        now = int(SystemClock().now().timestamp())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer, "jti": str(uuid.uuid4())}
        return issue_jwt({**claims, "iat": now, "exp": now + 60}, typ="JWT", signer=self.signer)


class AsAsker(AuthBase):
    """Prepares each request, as it is about to be sent, with what its door asks for."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add what proves who asks."""
        if _one_of_two(request):
            request.url = self._about_what_there_is(request.url or "")
        path = urlsplit(request.url or "").path
        if path.startswith(EXCHANGES):
            self._sign(request)
        elif path in WITH_CLIENT_AUTHENTICATION and _one_of_two(request):
            self._authenticate(request)
        elif path == "/userinfo":
            request.headers["Authorization"] = f"Bearer {self.asker.userinfo_token}"
        elif path == "/register":
            request.headers["Authorization"] = f"Bearer {self.asker.initial_token}"
        elif path.startswith("/register/") and request.method != "DELETE":
            request.headers["Authorization"] = f"Bearer {self.asker.registration_token}"
        elif path.startswith("/auditor/"):
            request.headers["Cookie"] = self.asker.cookie
        return request

    def _about_what_there_is(self, address: str) -> str:
        for place, name in (
            ("/register/", self.asker.registration),
            ("/auditor/exchanges/", self.asker.exchange),
            (f"{EXCHANGES}/", self.asker.exchange),
            ("/sharing/v1/members/", self.asker.member),
            ("/assets/", "gateway.css"),
        ):
            address = re.sub(f"{re.escape(place)}[^/?]+", place + name, address, count=1)
        return address

    def _sign(self, request: requests.PreparedRequest) -> None:
        if not {"content-digest", "signature", "signature-input"} <= {name.lower() for name in request.headers}:
            return  # what was left out on purpose stays out
        if _is_uuid(request.headers.get("Idempotency-Key")):
            # Those that are generated are few, and each is for one question.
            request.headers["Idempotency-Key"] = str(uuid.uuid4())
        content = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        for name in ("Signature", "Signature-Input", "Content-Digest", "DPoP"):
            request.headers.pop(name, None)
        headers = dict(request.headers)
        headers["Authorization"] = f"Bearer {self.asker.sharing_token}"
        signed = sign_request(
            HttpRequest(method=request.method or "", target_uri=request.url or "", headers=headers, body=content),
            signer=self.asker.signer,
            client_id=self.asker.client_id,
            nonce=secrets.token_urlsafe(18),
            created=SystemClock().now(),
            tag=EXCHANGE_TAG,
        )
        request.headers.update(signed.headers)

    def _authenticate(self, request: requests.PreparedRequest) -> None:
        text = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        ours = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
        form = [(name, value) for name, value in parse_qsl(text) if name not in ours]
        form += [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", self.asker.assertion())]
        request.headers.pop("Authorization", None)
        request.prepare_body(urlencode(form), None)


def _one_of_two(request: requests.PreparedRequest) -> bool:
    body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
    return crc32((request.url or "").encode() + body) % 2 == 0


def _is_uuid(text: object) -> bool:
    try:
        return isinstance(text, str) and str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _load() -> Asker:
    return Asker(**json.loads(Path(os.environ["GATEWAY_TEST_ASKER"]).read_text(encoding="utf-8")))


if "GATEWAY_TEST_ASKER" in os.environ:
    ASKER = _load()
    # As documented; the function `auth` has this attribute without saying so in its type.
    schemathesis.auth.set_from_requests(AsAsker(ASKER))  # type: ignore[attr-defined]

    @schemathesis.deserializer("application/json")
    def content_of(_context: Any, response: Any) -> Any:
        """Read JSON as such; a JWT, which schemathesis takes for JSON too, is the text that it is described as."""
        (kind,) = response.headers["content-type"]
        return response.text if kind.endswith("jwt") else response.json()

    @schemathesis.hook
    def map_body(context: Any, body: Any) -> Any:
        """Let half of the well-formed questions be about a service that there is, and half of those be answered."""
        well_formed = isinstance(body, dict) and not RecordRequestSchema().validate(body)
        if context.operation.path != EXCHANGES or not well_formed:
            return body
        chosen = crc32(json.dumps(body, sort_keys=True).encode())
        # Which attributes a person is found by is the service's own rule.
        named = {name: ASKER.question[name] for name in ("service", "purpose", "subject")} if chosen % 2 else {}
        return ASKER.question | {"salt": body["salt"]} if chosen % 4 == 1 else {**body, **named}
