"""What a sandbox tells developers that production tells nobody: which rule failed, what was sent, what would do.

Only with GATEWAY_SANDBOX, which is for environments with invented people. Elsewhere a stranger learns neither which
rule failed nor what a client has registered. Every text names the section of docs/relying-parties.md that goes with it.
Here: requests of which nobody knows who asks, and clients that are not believed. `sandbox_refusals` has the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import Client, find_registration
from gateway.errors import GatewayError
from gateway.oidc.authorization.pushed import LIFETIME, parse_reference
from gateway.oidc.clients.assertion import (
    ALGORITHMS,
    CLOCK_SKEW,
    LONGEST_LIFETIME,
    Expected,
    check_id,
    check_lifetime,
    check_times,
)
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.models import PushedRequestRow
from gateway.oidc.parameters import Parameters
from gateway.wire.jws import unverified_claims, unverified_header
from gateway.wire.keys import Jwk

DOCUMENT = "docs/relying-parties.md"
LONGEST_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedProof:
    """What a client showed that was rejected, as sent: nothing of it is believed."""

    rejected: ClientRejected
    form: Parameters
    keys: tuple[Jwk, ...]
    endpoints: Endpoints
    now: datetime

    @property
    def claims(self) -> Mapping[str, Any]:
        """The assertion's claims, if it has any."""
        try:
            return unverified_claims(self.form.one("client_assertion") or "")
        except GatewayError:
            return {}

    @property
    def header(self) -> Mapping[str, Any]:
        """The assertion's header, if it has one."""
        try:
            return unverified_header(self.form.one("client_assertion") or "")
        except GatewayError:
            return {}


def explain_request(session: Session, sent: Parameters) -> str | None:
    """Say what to change in a request that cannot even be answered by a redirect; None when there is nothing to add."""
    client_id = sent.one("client_id")
    if client_id is None:
        return advice("Send client_id once, as `gateway clients show` lists it", "client-id")
    found = find_registration(session, client_id) if len(client_id) <= LONGEST_SHOWN else None
    if found is None:
        return advice(f"No client is registered here as {quoted(client_id)}", "client-id")
    if not found[0].active:
        return advice(f"The client {quoted(client_id)} is disabled: `gateway clients enable` it", "client-id")
    if sent.all("request_uri"):
        return advice(_pushed(session, client_id, sent.one("request_uri")), "pushed-requests")
    if sent.all("request"):
        return advice("What the request brought along does not hold: push or sign a new one", "pushed-requests")
    return explain_redirect_uri(found[0], sent.one("redirect_uri"))


def _pushed(session: Session, client_id: str, request_uri: str | None) -> str:
    reference = parse_reference(request_uri or "")
    if reference is None:
        return "Send request_uri once, as /par returned it"
    row = session.get(PushedRequestRow, reference.hash)
    if row is None:
        return "This request_uri was used, or was never given here: push the request again for every sign-in"
    if row.client_id != client_id:
        return f"This request_uri was pushed by another client than {quoted(client_id)}"
    return f"This request_uri is too old: the browser has to arrive with it within {LIFETIME.seconds} s"


def explain_redirect_uri(client: Client, sent: str | None) -> str | None:
    """Say what is registered; None for a redirect_uri that is."""
    listed = ", ".join(map(quoted, client.redirect_uris)) or "none"
    if sent is None:
        return advice(f"Send redirect_uri once. Registered: {listed}", "redirect-uri")
    if sent in client.redirect_uris:
        return None
    return advice(
        f"You sent redirect_uri {quoted(sent)}. Registered for this client: {listed}. "
        "They are compared character by character",
        "redirect-uri",
    )


def explain_rejection(proof: RejectedProof) -> str:
    """Say which rule the proof of a client broke, with what it should have been."""
    explain = _EXPLANATIONS.get(proof.rejected.reason)
    if explain is None:
        return advice(f"The client could not be authenticated: {proof.rejected.reason}", "client-authentication")
    return advice(explain(proof), "client-authentication")


def _unknown(proof: RejectedProof) -> str:
    if proof.form.one("client_assertion") is not None and not proof.header:
        return "client_assertion is no JWT: three parts in base64url with dots between them (RFC 7519, section 3)"
    named = proof.claims.get("sub", proof.form.one("client_id"))
    return f"No active client is registered here as {quoted(named)} (claim sub of the assertion)"


def _method(proof: RejectedProof) -> str:
    client = proof.rejected.client
    registered = client.oauth.token_endpoint_auth_method if client is not None else "none"
    shown = proof.rejected.by_header or proof.form.all("client_assertion") or proof.form.all("client_secret")
    used = "used another one" if shown else "the request brought no proof of who sends it"
    return f"The client is registered for token_endpoint_auth_method {registered}, and {used}"


def _jws(proof: RejectedProof) -> str:
    registered = ", ".join(str(key.get("kid")) for key in proof.keys) or "none that could be had"
    return (
        f"The assertion's header says alg {quoted(proof.header.get('alg'))}, kid {quoted(proof.header.get('kid'))}; "
        f"registered keys: {registered}; accepted alg: {', '.join(ALGORITHMS)}, as the key says"
    )


def _audience(proof: RejectedProof) -> str:
    return f"The claim aud is {quoted(proof.claims.get('aud'))}, and has to be {proof.endpoints.issuer}"


def _subject(proof: RejectedProof) -> str:
    client = proof.rejected.client
    expected = client.client_id if client is not None else "the client_id"
    return (
        f"The claims iss and sub both have to be {expected}; they are {quoted(proof.claims.get('iss'))} and "
        f"{quoted(proof.claims.get('sub'))}"
    )


def _times(proof: RejectedProof) -> str:
    instant = proof.now.timestamp()
    told = [
        f"{name} {value - instant:+.0f} s"
        for name in ("iat", "nbf", "exp")
        if isinstance(value := proof.claims.get(name), int | float) and not isinstance(value, bool)
    ]
    return (
        f"The assertion's times, from this gateway's clock: {', '.join(told) or 'none'}. exp is required and has not "
        f"passed; iat and nbf may be {CLOCK_SKEW.seconds} s ahead; it is taken until {LONGEST_LIFETIME.seconds} s "
        "after iat; exp may be later, but not without iat"
    )


def _and_later(explain: Callable[[RejectedProof], str]) -> Callable[[RejectedProof], str]:
    """Say what is wrong with the claims that are asked after this one, so that all is mended at once."""

    def told(proof: RejectedProof) -> str:
        client, issuer = proof.rejected.client, proof.endpoints.issuer
        if client is None:
            return explain(proof)
        expected = Expected(client=client, form=proof.form, endpoints=proof.endpoints, endpoint=issuer, now=proof.now)
        claims = {**proof.claims, "iss": client.client_id, "sub": client.client_id, "aud": issuer}
        found = [explain(proof)]
        try:
            check_times(claims, expected)
            check_lifetime(claims, expected)
        except GatewayError:
            found.append(_times(proof))
        try:
            check_id(claims, expected)
        except GatewayError:
            found.append(_no_jti(proof))
        return ". ".join(found)

    return told


def _no_jti(_proof: RejectedProof) -> str:
    return "The claim jti is missing: 1 to 200 characters that differ in every assertion"


_EXPLANATIONS: Mapping[str, Callable[[RejectedProof], str]] = {
    "unknown_client": _unknown,
    "wrong_method": _method,
    "no_assertion": lambda _: "Send client_assertion and client_assertion_type, once each (RFC 7523, section 2.2)",
    "no_client_named": lambda _: "Send client_id, or a client_assertion",
    "several_methods": lambda _: "Send one proof of who you are: a header, an assertion or a secret, not several",
    "wrong_client_id": lambda _: "The client_id beside the proof is another client's: leave it out, or correct it",
    "wrong_secret": lambda _: "The secret is not one of this client's, or has ended: `gateway clients rotate` it",
    "wrong_typ": lambda proof: f"The header's typ is {quoted(proof.header.get('typ'))}: send JWT, or leave it out",
    "invalid_jws": _jws,
    "invalid_signature": lambda proof: f"The signature does not verify with the registered key. {_jws(proof)}",
    "wrong_audience": _and_later(_audience),
    "wrong_subject": _and_later(_subject),
    "invalid_claims": _times,
    "lives_too_long": _times,
    "issued_too_long_ago": _times,
    "no_jti": _no_jti,
    "assertion_replayed": lambda _: "This assertion was used before: make a new one, with a new jti, for every request",
    "no_certificate": lambda _: "No client certificate arrived: this client authenticates with one (RFC 8705)",
}


def advice(text: str, section: str) -> str:
    """Return a sentence with the place where more is said."""
    return f"{text}. See the section {section} of {DOCUMENT} in the gateway's project"


def quoted(value: object) -> str:
    """Return what somebody sent, as an OAuth error may repeat it."""
    # RFC 6749 §5.2: a description is printable ASCII without quotes and backslashes.
    text = str(value) if value is not None else "missing"
    plain = "".join(char if " " <= char <= "~" and char not in '"\\' else "?" for char in text)
    return plain if len(plain) <= LONGEST_SHOWN else plain[: LONGEST_SHOWN - 3] + "..."
