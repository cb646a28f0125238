"""What a relying party under FAPI 2.0 does before it sends a browser: it signs its request, proves a key, pushes it."""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from gateway.directory.oauth import OAuthSettings
from gateway.wire.jws import issue_jws
from gateway.wire.signer import Signer
from tests.kit.oidc_world import ASSERTION_TYPE, OidcWorld, RelyingParty

TYPE = "oauth-authz-req+jwt"
Pairs = Sequence[tuple[str, str]]


def fapi_party(world: OidcWorld, *, signer: Signer | None = None, **settings: Any) -> RelyingParty:
    """A client that keeps to FAPI 2.0, with DPoP unless `settings` say otherwise."""
    values: dict[str, Any] = {
        "fapi2": True,
        "dpop_bound_access_tokens": True,
        "id_token_signed_response_alg": "ES256",
    } | settings
    return world.relying_party(signer=signer, oauth=OAuthSettings(**values))


def asked(rp: RelyingParty, **changes: Any) -> tuple[list[tuple[str, str]], str]:
    """The parameters of a request, and its code_verifier. A change to None leaves a parameter out."""
    address, verifier = rp.request(**changes)
    return parse_qsl(urlsplit(address).query, keep_blank_values=True), verifier


def push(
    rp: RelyingParty, pairs: Pairs, *, assertion: str | None = None, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """Push these parameters, authenticated by a new assertion or the one given."""
    client = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion or rp.assertion())]
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            f"{rp.issuer}/par", data=[*client, *pairs], headers=headers, timeout=20, allow_redirects=False
        )


def pushed(rp: RelyingParty, **changes: Any) -> tuple[str, str]:
    """Push a request rightly; the `request_uri`, and the code_verifier."""
    pairs, verifier = asked(rp, **changes)
    return reference_in(push(rp, pairs)), verifier


def reference_in(answer: requests.Response) -> str:
    assert answer.status_code == 201, answer.text
    reference: str = answer.json()["request_uri"]
    return reference


def address_of(rp: RelyingParty, request_uri: str, **more: str) -> str:
    """Where the browser is sent with a reference."""
    query = {"client_id": rp.client.client_id, "request_uri": request_uri, **more}
    return f"{rp.issuer}/authorize?{urlencode(query)}"


def request_claims(rp: RelyingParty, **changes: Any) -> tuple[dict[str, Any], str]:
    """The claims of a good request object, and its code_verifier. A change to None leaves a claim out."""
    pairs, verifier = asked(rp)
    now = int(rp.clock.now().timestamp())
    claims: dict[str, Any] = {
        **dict(pairs),
        "iss": rp.client.client_id,
        "aud": rp.issuer,
        "nbf": now,
        "exp": now + 300,
        "jti": secrets.token_urlsafe(8),
    } | changes
    return {name: value for name, value in claims.items() if value is not None}, verifier


def request_object(
    rp: RelyingParty,
    *,
    signer: Signer | None = None,
    typ: str = TYPE,
    headers: Mapping[str, object] | None = None,
    **changes: Any,
) -> tuple[str, str]:
    """A signed request object (RFC 9101), and its code_verifier."""
    claims, verifier = request_claims(rp, **changes)
    return issue_jws(json.dumps(claims).encode(), typ=typ, signer=signer or rp.signer, headers=headers), verifier


def by_value(rp: RelyingParty, request: str, **more: str) -> str:
    """Where the browser is sent with a request object."""
    return f"{rp.issuer}/authorize?{urlencode({'client_id': rp.client.client_id, 'request': request, **more})}"


def dpop_proof(rp: RelyingParty, key: Signer, address: str, *, method: str = "POST", **changes: Any) -> str:
    """A DPoP proof (RFC 9449 §4.2) by `key`."""
    public = {name: value for name, value in key.public_jwk().items() if name in {"kty", "crv", "x", "y", "n", "e"}}
    claims = {
        "jti": secrets.token_urlsafe(12),
        "htm": method,
        "htu": address,
        "iat": int(rp.clock.now().timestamp()),
    } | changes
    return issue_jws(json.dumps(claims).encode(), typ="dpop+jwt", signer=key, headers={"jwk": public})
