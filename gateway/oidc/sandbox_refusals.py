"""What a sandbox adds to the refusals of a client that is known: what it sent, what is registered, what would do.

Only with GATEWAY_SANDBOX, as in `sandbox`. A remedy is found by the words of the refusal, which are our own and the
same at every door; a refusal that says all there is to say has none. No code, token or verifier is repeated.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.orm import Session

from gateway.directory.members import Client, find_client
from gateway.errors import GatewayError
from gateway.oidc.authorization.checks import PROMPTS, SCOPES
from gateway.oidc.authorization.codes import CODE_LIFETIME, hash_of, lock_authorization
from gateway.oidc.authorization.response_modes import MODES, SIGNED_MODES
from gateway.oidc.clients.metadata_rules import GRANT_TYPES
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.parameters import Parameters
from gateway.oidc.sandbox import LONGEST_SHOWN, advice, explain_redirect_uri, quoted
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import unverified_claims

NOTE_HEADER = "Gateway-Sandbox-Note"
SECTION = "When it does not work"
PKCE = (
    "Turn PKCE on in your library, or: keep a code_verifier of 43 to 128 random letters and digits for each sign-in, "
    "send code_challenge = base64url(SHA-256(code_verifier)) without = at its end, and code_challenge_method=S256 "
    "(RFC 7636, section 4)"
)


class Explain(Protocol):
    """Says of a refusal what to change; returns the refusal's own words where there is nothing to add."""

    def __call__(
        self, session: Session, refused: GatewayError, *, client: Client, sent: Parameters, now: datetime
    ) -> str:
        """`sent` is what counts of the request, wherever it was written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    session: Session
    client: Client
    sent: Parameters
    endpoints: Endpoints
    now: datetime

    def shown(self, name: str) -> str:
        return " and ".join(map(quoted, self.sent.all(name))) or "none"


def explain_refusal(
    session: Session,
    refused: GatewayError,
    *,
    client: Client,
    sent: Parameters,
    now: datetime,
    endpoints: Endpoints,
) -> str:
    """Say what to change in a request for which its client is told an OAuth error."""
    remedy = REMEDIES.get(refused.public)
    if remedy is None:
        return refused.public
    refusal = _Refusal(session=session, client=client, sent=sent, endpoints=endpoints, now=now)
    return advice(f"{refused.public}. {remedy(refusal)}", SECTION)


def explain_sign_out(session: Session, refused: GatewayError, sent: Parameters) -> str:
    """Say what to change in a request to sign somebody out."""
    client = _client_to_sign_out(session, sent)
    if client is None:
        if sent.one("client_id") is None:
            return refused.public
        return advice(f"{refused.public}. You sent client_id {quoted(sent.one('client_id'))}", "client-id")
    uri = sent.one("post_logout_redirect_uri")
    if uri is None or uri in client.post_logout_redirect_uris:
        return advice(f"{refused.public}. The client is {quoted(client.client_id)}", SECTION)
    told = (
        f"{refused.public}. You sent {quoted(uri)}. Registered as post_logout_redirect_uris: "
        f"{_listed(client.post_logout_redirect_uris)}. They are compared character by character"
    )
    return advice(told, SECTION)


def note_on_scopes(client: Client, sent: Parameters) -> str | None:
    """Say which scopes of a request mean nothing here: they are passed over, which nobody notices (RFC 6749 §3.3)."""
    known = {*SCOPES, *client.scopes}
    unknown = [scope for scope in (sent.one("scope") or "").split() if scope not in known]
    if not unknown:
        return None
    return f"scope {quoted(' '.join(unknown))} means nothing here and is passed over; registered: {_scopes(client)}"


def _client_to_sign_out(session: Session, sent: Parameters) -> Client | None:
    named: object = sent.one("client_id")
    if named is None:
        try:
            named = unverified_claims(sent.one("id_token_hint") or "").get("aud")
        except GatewayError:
            return None
    return find_client(session, named) if isinstance(named, str) and len(named) <= LONGEST_SHOWN else None


def _repeated(refusal: _Refusal) -> str:
    return f"Sent more than once: {_listed(refusal.sent.repeated)}"


def _redirect_uri(refusal: _Refusal) -> str:
    # Without the section that goes with it: the whole is told with one.
    told = explain_redirect_uri(refusal.client, refusal.sent.one("redirect_uri")) or ""
    return told.partition(". See the section")[0]


def _scope(refusal: _Refusal) -> str:
    told = f"You sent scope {refusal.shown('scope')}. Registered for this client: {_scopes(refusal.client)}"
    if refusal.sent.one("grant_type") == "client_credentials":
        return f"{told}; and {', '.join(SCOPES)} are about people, which no client is"
    return told


def _resource(refusal: _Refusal) -> str:
    named, registered = refusal.shown("resource"), _listed(refusal.client.resources)
    return f"You sent resource {named}. Registered for this client: {registered}; with openid also userinfo"


def _granted(_refusal: _Refusal) -> str:
    return "What a sign-in was asked for is all that its code and refresh tokens give: ask for more in a new one"


def _grants(refusal: _Refusal) -> str:
    client = refusal.client
    return (
        f"You sent grant_type {refusal.shown('grant_type')}. Registered grant_types: {_listed(client.grant_types)}; "
        f"account_kinds: {_listed(client.account_kinds)}"
    )


def _code(refusal: _Refusal) -> str:
    family = lock_authorization(refusal.session, refusal.sent.one("code") or "")
    if family is None:
        return "No such code is known here: it was not issued here, did not arrive whole, or is minutes old"
    return _why_not(refusal, family, used_at=family.redeemed_at, ends=family.code_expires_at, what="code")


def _refresh_token(refusal: _Refusal) -> str:
    token = refusal.session.get(RefreshTokenRow, hash_of(refusal.sent.one("refresh_token") or ""))
    family = refusal.session.get(AuthorizationRow, token.authorization_id) if token is not None else None
    if token is None or family is None:
        return "No such refresh token is known here: it was not issued here, did not arrive whole, or is over"
    return _why_not(refusal, family, used_at=token.used_at, ends=token.expires_at, what="refresh token")


def _why_not(
    refusal: _Refusal, family: AuthorizationRow, *, used_at: datetime | None, ends: datetime, what: str
) -> str:
    if family.client_id != refusal.client.client_id:
        return f"This {what} was issued to another client than {refusal.client.client_id}"
    if used_at is not None:
        ago = _seconds(refusal.now - used_at)
        return f"This {what} was used before, {ago} ago. It is good once, and all that came of it is revoked now"
    if family.revoked_at is not None:
        return f"This {what} was taken back: its session ended, or something of its sign-in was used twice"
    lifetime = f"; it is good for {_seconds(CODE_LIFETIME)}" if what == "code" else ""
    return f"This {what} expired {_seconds(refusal.now - ends)} ago{lifetime}"


def _redirect_uri_of_code(refusal: _Refusal) -> str:
    family = lock_authorization(refusal.session, refusal.sent.one("code") or "")
    asked = family.redirect_uri if family is not None else None
    return f"You sent redirect_uri {refusal.shown('redirect_uri')}; the sign-in was asked for with {quoted(asked)}"


def _verifier(refusal: _Refusal) -> str:
    family = lock_authorization(refusal.session, refusal.sent.one("code") or "")
    made = b64url_encode(hashlib.sha256((refusal.sent.one("code_verifier") or "").encode()).digest())
    challenge = family.code_challenge if family is not None else None
    return (
        f"The code_challenge was {quoted(challenge)}, and that of the code_verifier you sent is {made}: each sign-in "
        "has its own, and two tabs must not share one"
    )


def _kinds_of_grant(_refusal: _Refusal) -> str:
    return f"Known here: {', '.join(GRANT_TYPES)}"


REMEDIES: Mapping[str, Callable[[_Refusal], str]] = {
    # At every door.
    "A parameter is repeated": _repeated,
    # The authorization endpoint, and /par before it.
    "The redirect_uri is not registered for this client": _redirect_uri,
    "The request must name one redirect_uri": _redirect_uri,
    "response_type is missing": lambda _: "Send response_type=code",
    "The only response_type here is code": lambda refusal: f"You sent {refusal.shown('response_type')}",
    "This response_mode is not supported": lambda _: f"Known here: {', '.join((*MODES, *SIGNED_MODES))}",
    "This prompt is not known here": lambda _: f"Known here: {', '.join(PROMPTS)}",
    "This client is not registered to sign people in": _grants,
    "This client is not registered for one of these scopes": _scope,
    "scope must hold openid: this client has no resource to ask for": _scope,
    "This client is not registered for one of these resources": _resource,
    "Name the resource that is asked for": _resource,
    "code_challenge is missing: PKCE is required": lambda _: PKCE,
    "code_challenge is missing: PKCE with S256 is required": lambda _: PKCE,
    "code_challenge is missing: its method was sent": lambda _: PKCE,
    "code_challenge is not a SHA-256 in base64url": lambda _: PKCE,
    "The only code_challenge_method here is S256": lambda _: PKCE,
    "Without PKCE, a nonce and the scope openid are required": lambda _: PKCE,
    "This client pushes its requests (RFC 9126)": lambda refusal: (
        f"POST the same parameters to {refusal.endpoints.pushed_authorization}, authenticated as at the token "
        "endpoint; send the browser with client_id and the request_uri of the answer, and no more"
    ),
    "client_id is not the client that was authenticated": lambda refusal: (
        f"You authenticated as {refusal.client.client_id}, and sent client_id {refusal.shown('client_id')}"
    ),
    # The token endpoint.
    "This grant_type is not supported": _kinds_of_grant,
    "This client is not registered for this grant_type": _grants,
    "Name the resource this token is for": _resource,
    "The resource was not granted to this client": _resource,
    "The scope was not granted to this client": _granted,
    "The code cannot be used": _code,
    "The refresh token cannot be used": _refresh_token,
    "redirect_uri is not that of the authorization request": _redirect_uri_of_code,
    "code_verifier is missing": lambda _: "Send the one whose SHA-256 was the code_challenge of this sign-in",
    "code_verifier does not fit the code_challenge": _verifier,
}


def _scopes(client: Client) -> str:
    return _listed(client.scopes)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(quoted, names)) or "none"


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():.0f} s"
