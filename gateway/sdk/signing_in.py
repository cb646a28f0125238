"""Have an officer sign in with the browser on this machine and take their access token: for a first question.

It is OAuth's code flow with PKCE (RFC 6749 §4.1, RFC 7636) and a listener on loopback (RFC 8252 §7.3). A council's own
service signs its officers in itself (docs/relying-parties.md) and asks with the token it got.
"""

import hashlib
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from gateway.clock import Clock
from gateway.errors import GatewayError, Kind
from gateway.sdk.tokens import TokenEndpoint
from gateway.wire.encoding import b64url_encode

LOOPBACK = ("localhost", "127.0.0.1")
SECONDS = 300.0


class NotSignedIn(GatewayError):
    """Nobody signed in, or the answer was not for us."""

    kind = Kind.UPSTREAM
    code = "not_signed_in"
    title = "Nobody signed in"


def sign_in(
    endpoint: TokenEndpoint, *, redirect_uri: str, show: Callable[[str], None], clock: Clock, seconds: float = SECONDS
) -> str:
    """Return the access token of whoever signs in at the address that `show` is given.

    `redirect_uri` is registered for the client: plain http on loopback, with a port that is free. Raises `NotSignedIn`,
    also where the port is taken, and as `TokenEndpoint.token`.
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or parts.port is None:
        raise NotSignedIn("The address to come back to must be http://localhost with a port, as it is registered")
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    documents, now = endpoint.documents, clock.now()
    parameters = {
        "response_type": "code",
        "client_id": endpoint.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "resource": documents.metadata(now).resource,
        "code_challenge": b64url_encode(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    with _Listener(parts.port, path=parts.path or "/", state=state) as listener:
        show(f"{documents.authorization_endpoint(now)}?{urlencode(parameters)}")
        answer = listener.wait(seconds)
    # RFC 9207 §2.4: an answer of another server's is not for us, whatever it says.
    if answer.get("iss") != documents.issuer:
        raise NotSignedIn("The answer is not from this gateway")
    if "code" not in answer:
        raise NotSignedIn(f"The gateway answered {answer.get('error', 'without a code')}")
    grant = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    return endpoint.token(grant, now=clock.now()).value


class _Listener(HTTPServer):
    """Waits on loopback for the one request that brings the answer with our `state`; everything else is not found."""

    def __init__(self, port: int, *, path: str, state: str) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise NotSignedIn(f"Port {port} of this machine cannot be listened at: {error.strerror}") from error
        self.path, self.state = path, state
        self.answer: dict[str, str] | None = None

    def wait(self, seconds: float) -> dict[str, str]:
        self.timeout, tries = 1.0, int(seconds)
        while self.answer is None and tries:
            # One request, or one second without any.
            self.handle_request()
            tries -= 1
        if self.answer is None:
            raise NotSignedIn(f"Nobody signed in within {seconds:.0f} seconds")
        return self.answer


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = 5.0

    def do_GET(self) -> None:
        """Take the answer (RFC 6749 §4.1.2)."""
        parts = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items() if len(values) == 1}
        ours = secrets.compare_digest(given.get("state", "").encode(), self.server.state.encode())
        if parts.path != self.server.path or not ours:
            self.send_error(404)
            return
        self.server.answer = given
        said = b"You can close this page and go back to the terminal.\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_parts: Any) -> None:
        """Say nothing: the request line holds the code."""
