"""Request objects: an authorization request as a JWT that its client signed (RFC 9101).

Whatever travels beside the object is ignored, but for the `client_id` that says whose keys verify it (§6.3). An object
grants nothing but to be asked about, and what answers it is bound by `state`, `nonce` and PKCE: so its `jti` is not
used up, and a browser may load its page again. A pushed one is used once, as every pushed request is.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.directory.members import Client
from gateway.errors import GatewayError
from gateway.oidc.clients.key_sets import KeySets
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import AuthorizationRefused
from gateway.oidc.parameters import Parameters, parse_parameters
from gateway.wire.jws import check_claims, parse_claims, unverified_header, verify_jws
from gateway.wire.keys import SIGNING_ALGORITHMS, algorithm_name

# `EdDSA` is the older name of Ed25519 (RFC 9864). Nothing symmetric, and never `none`.
FAPI_ALGORITHMS = (*SIGNING_ALGORITHMS, "EdDSA")
# RS256 verifies with a key that is registered for it, and for no FAPI client (FAPI 2.0 Security Profile §5.4.1).
ALGORITHMS = (*FAPI_ALGORITHMS, "RS256")
TYPE = "oauth-authz-req+jwt"
# RFC 9101 §10.8 names a type of its own, which much software does not send yet, that of the FAPI conformance suite
# included. Any other type says that this is something else.
TYPES = (TYPE, "jwt", None)
CLOCK_SKEW = timedelta(seconds=10)
FAPI_LONGEST = timedelta(minutes=60)
# RFC 7519 §4.1: these are about the JWT, and no parameters of the request.
ABOUT_THE_JWT = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})


class RequestObjectInvalid(AuthorizationRefused):
    """RFC 9101 §7: the object cannot be verified, or says what it may not."""

    def __init__(self, public: str) -> None:
        super().__init__("invalid_request_object", public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The claims of an object whose signature was verified, and what they are checked against."""

    claims: Mapping[str, Any]
    typ: str | None
    client: Client
    endpoints: Endpoints
    now: datetime


def verify_request_object(
    unverified: str,
    *,
    client: Client,
    key_sets: KeySets,
    endpoints: Endpoints,
    now: datetime,
    arrived_at: datetime | None = None,
) -> Parameters:
    """Return the parameters that an object asks with, `client_id` among them; raises `RequestObjectInvalid`.

    `arrived_at`, if that was before now, is when it had to be in its time. Its client's keys are today's: how often
    they are fetched goes by the time it is, or whoever comes back with something old could have them fetched at will.
    Call it outside any transaction: the client's keys may have to be fetched.
    """
    try:
        header = unverified_header(unverified)
        typ, kid = (_text(header.get(name)) for name in ("typ", "kid"))
        keys = key_sets.keys_of(client, kid=kid, now=now)
        verified = verify_jws(unverified, keys=keys, typ=typ, algorithms=_algorithms_for(client))
        claims = parse_claims(verified)
    except GatewayError as error:
        raise RequestObjectInvalid(f"The request object cannot be verified: {error.public}") from error
    signed = Signed(claims=claims, typ=typ, client=client, endpoints=endpoints, now=arrived_at or now)
    for check in CHECKS:
        check(signed)
    return _parameters(signed)


def check_type(signed: Signed) -> None:
    """RFC 9101 §10.8: the type keeps an assertion or a token from being taken for a request."""
    typ = signed.typ.lower().removeprefix("application/") if signed.typ is not None else None
    if typ not in TYPES:
        raise RequestObjectInvalid(f"The typ of a request object is {TYPE}")


def check_client(signed: Signed) -> None:
    """RFC 9101 §4, §6.3: issued by the client that asks, which names itself in it."""
    if signed.claims.get("iss") != signed.client.client_id:
        raise RequestObjectInvalid("iss is not the client_id")
    named = signed.claims.get("client_id")
    if named != signed.client.client_id and (named is not None or signed.client.oauth.fapi2):
        raise RequestObjectInvalid("client_id is not that of the request")


def check_no_subject(signed: Signed) -> None:
    """RFC 9101 §4: an object whose `sub` is the client could serve as its assertion."""
    if signed.claims.get("sub") == signed.client.client_id:
        raise RequestObjectInvalid("sub must not be the client_id")


def check_registered_claims(signed: Signed) -> None:
    """RFC 9101 §4 and RFC 7519 §4.1: meant for this issuer, and in its time; one without an end is refused.

    FAPI 2.0 Security Profile §5.3.2.1: a clock may be 10 seconds ahead of ours.
    """
    try:
        check_claims(
            signed.claims,
            issuer=signed.client.client_id,
            audience=signed.endpoints.issuer,
            now=signed.now,
            leeway_seconds=int(CLOCK_SKEW.total_seconds()),
        )
    except GatewayError as error:
        raise RequestObjectInvalid(f"The request object does not hold: {error.public}") from error


def check_lifetime(signed: Signed) -> None:
    """FAPI 2.0 Message Signing §5.3.1: `nbf` is at most 60 minutes past, and `exp` at most 60 minutes after it."""
    if not signed.client.oauth.fapi2:
        return
    not_before = signed.claims.get("nbf")
    if not_before is None:
        raise RequestObjectInvalid("nbf is missing")
    if not_before < (signed.now - FAPI_LONGEST).timestamp():
        raise RequestObjectInvalid("nbf is more than 60 minutes in the past")
    if signed.claims["exp"] > not_before + FAPI_LONGEST.total_seconds():
        raise RequestObjectInvalid("exp is more than 60 minutes after nbf")


def check_not_nested(signed: Signed) -> None:
    """RFC 9101 §4: an object holds no other request, by value or by reference."""
    for name in ("request", "request_uri"):
        if name in signed.claims:
            raise RequestObjectInvalid(f"A request object must not hold {name}")


CHECKS = (check_type, check_client, check_no_subject, check_registered_claims, check_lifetime, check_not_nested)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _algorithms_for(client: Client) -> Collection[str]:
    accepted = FAPI_ALGORITHMS if client.oauth.fapi2 else ALGORITHMS
    registered = client.oauth.request_object_signing_alg
    if registered is None:
        return accepted
    # RFC 9101 §10.5, OIDC Registration §2: a client that registered an algorithm signs with no other.
    return [name for name in accepted if algorithm_name(name) == algorithm_name(registered)]


def _parameters(signed: Signed) -> Parameters:
    pairs = [("client_id", signed.client.client_id)]
    for name, value in signed.claims.items():
        if name not in ABOUT_THE_JWT and name != "client_id":
            pairs += [(name, text) for text in _texts(name, value)]
    try:
        return parse_parameters(pairs)
    except GatewayError as error:
        raise RequestObjectInvalid(f"A claim cannot be used: {error.public}") from error


def _texts(name: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    # RFC 8707 §2: in an object, several resources are an array.
    if name == "resource" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    # RFC 9101 §4: numbers and objects are JSON here, and text elsewhere (`max_age`, `claims`). What has no business
    # being anything but a string is refused as text of that kind.
    return [json.dumps(value, ensure_ascii=False, separators=(",", ":"))]
