"""A relying party's server that takes back-channel logout notices over HTTP, and verifies them with joserfc.

It knows nothing of the gateway's own code: the steps are those of OIDC Back-Channel Logout 1.0 §2.6.
"""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from gateway.app import Gateway
from gateway.oidc.logout.back_channel import KIND, BackChannel
from gateway.outbox.courier import Courier
from gateway.outgoing.http_client import HttpClient
from tests.kit.processes import free_port

EVENT = "http://schemas.openid.net/event/backchannel-logout"


class NotValid(Exception):
    """A notice that a receiver refuses."""


@dataclass(slots=True)
class Receiver:
    """What came for each client, by the path that the client's address ends with."""

    issuer: str
    port: int
    notices: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    """With which status a client answers, where not 200; nothing is noted then."""
    seen: set[str] = field(default_factory=set)
    tries: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[str, threading.Event] = field(default_factory=dict)
    """A client's notices are answered, and then as broken off, once its event is set."""

    def address(self, client: str) -> str:
        return f"http://127.0.0.1:{self.port}/back-channel?client={client}"

    @property
    def allowed(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, request: Request) -> Response:
        client = request.args["client"]
        self.tries[client] += 1
        if client in self.held:
            self.held[client].wait(timeout=30)
            return Response(status=503)
        status = self.answers.get(client, 200)
        if status != 200:
            return Response(status=status)
        try:
            assert request.method == "POST"
            assert request.mimetype == "application/x-www-form-urlencoded"
            claims = self.verified(request.form["logout_token"])
        except NotValid as error:
            return Response(json.dumps({"error": "invalid_request", "error_description": str(error)}), 400)
        self.notices[claims["aud"]].append(claims)
        return Response(status=204 if client == "rp-1" else 200, headers={"Cache-Control": "no-store"})

    def verified(self, token: str) -> dict[str, Any]:
        """Verify a logout token as §2.6 says, step by step."""
        keys = requests.get(f"{self.issuer}/.well-known/jwks.json", timeout=5).json()
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(keys), algorithms=["ES256", "RS256", "PS256"])
            header = jws.extract_compact(token.encode()).headers()
        except JoseError as error:
            raise NotValid(str(error)) from error
        claims: dict[str, Any] = dict(decoded.claims)
        self.headers[claims["aud"]] = dict(header)
        for rule, holds in {
            "typ": header.get("typ") == "logout+jwt",
            "iss": claims.get("iss") == self.issuer,
            "lifetime": 0 < claims["exp"] - claims["iat"] <= 120,
            "sub or sid": "sub" in claims or "sid" in claims,
            "events": claims.get("events") == {EVENT: {}},
            "nonce": "nonce" not in claims,
            "jti": claims["jti"] not in self.seen,
        }.items():
            if not holds:
                raise NotValid(rule)
        self.seen.add(claims["jti"])
        return claims


@contextmanager
def receiving(issuer: str) -> Iterator[Receiver]:
    """Serve from a thread of this process."""
    receiver = Receiver(issuer, free_port())

    @Request.application
    def application(request: Request) -> Response:
        return receiver.answer(request)

    server = make_server("127.0.0.1", receiver.port, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def courier_to(gateway: Gateway, receiver: Receiver) -> Courier:
    """The gateway's courier, as `gateway work` runs it where this receiver's address is allowed."""
    back_channel = BackChannel(
        issuer=gateway.settings.issuer,
        database=gateway.database,
        http=HttpClient(allow_loopback=(receiver.allowed,), allow_plain_http=True),
        keys=gateway.signing,
        clock=gateway.clock,
    )
    return Courier(
        database=gateway.database,
        audit=gateway.audit,
        alerts=gateway.alerts,
        clock=gateway.clock,
        handlers={KIND: back_channel.deliver},
    )
