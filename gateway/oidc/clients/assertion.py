"""private_key_jwt (RFC 7523 §2.2 and §3, OIDC Core §9): an assertion signed with the client's own key.

Everything here but the single use of `jti` is decided without writing. The claim of the `jti` belongs to the
transaction that answers the request and is committed whatever the answer is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.errors import GatewayError
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import Parameters
from gateway.once.once import Claim, first_uses
from gateway.wire.jws import (
    VerifiedJws,
    check_claims,
    parse_claims,
    unverified_claims,
    unverified_header,
    verify_jws,
)
from gateway.wire.keys import Jwk, algorithm_name

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# FAPI 2.0 §5.4.1. `EdDSA` is the older name of Ed25519 (RFC 9864). Nothing symmetric, and never `none`.
FAPI_ALGORITHMS = ("ES256", "PS256", "Ed25519", "EdDSA")
# OIDC Discovery §3: servers should take RS256, which is all that much software signs with; only with a key that is
# registered for it, and never from a FAPI client.
ALGORITHMS = (*FAPI_ALGORITHMS, "RS256")
TYPES = ("jwt", "client-authentication+jwt")
# Widely used libraries state an hour; such an assertion is accepted for the five minutes after its `iat`.
LONGEST_LIFETIME = timedelta(minutes=5)
# FAPI 2.0 §5.3.2.1 item 13: `iat` and `nbf` up to 10 seconds ahead must be accepted, and over 60 refused. We stay at
# the lower end, for every client: a clock that is wrong by more should be mended.
CLOCK_SKEW = timedelta(seconds=10)
LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAssertion:
    """A client that proved to hold its key; its assertion may be used once, before `expires_at`."""

    client: Client
    jti: str
    key_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an assertion is held against."""

    client: Client
    form: Parameters
    endpoints: Endpoints
    endpoint: str
    """The endpoint that was called."""
    now: datetime

    @property
    def audiences(self) -> frozenset[str]:
        """Whom an assertion may name. All of it is us; nobody else could use it, nor we anybody else's.

        RFC 7523 §3 and RFC 9126 §2: the issuer, the token endpoint, or the endpoint that was called. FAPI 2.0 §5.3.2.1
        item 8: the issuer.
        """
        if self.client.oauth.fapi2:
            return frozenset({self.endpoints.issuer})
        called = self.endpoints.addresses_of(self.endpoint) | self.endpoints.addresses_of(self.endpoints.token)
        return called | {self.endpoints.issuer}


class AssertionInvalid(GatewayError):
    """A claim that does not hold; `public` is the reason."""

    code = "invalid_client"


def unverified_client_id(assertion: str) -> str | None:
    """Return which client an assertion says it is from: only to find out whose keys to use."""
    try:
        named = unverified_claims(assertion).get("sub")
    except GatewayError:
        return None
    return named if isinstance(named, str) else None


def unverified_key_id(assertion: str) -> str | None:
    """Return the `kid` of an assertion: only to find out whether that key has to be fetched."""
    try:
        kid = unverified_header(assertion).get("kid")
    except GatewayError:
        return None
    return kid if isinstance(kid, str) else None


def verify_assertion(assertion: str, expected: Expected, *, keys: Sequence[Jwk]) -> VerifiedAssertion | ClientRejected:
    """Verify an assertion with the keys of the client it names."""
    client, signed = expected.client, False
    try:
        algorithms = _algorithms_for(client)
        verified = verify_jws(assertion, keys=keys, typ=_accepted_type(assertion), algorithms=algorithms)
        signed = True
        claims = parse_claims(verified)
        for check in CHECKS:
            check(claims, expected)
    except AssertionInvalid as error:
        return ClientRejected(reason=error.public, client=client, signed=signed)
    except GatewayError as error:
        return ClientRejected(reason=error.code, client=client, signed=signed)
    return _verified(verified, claims, client)


def claim_assertion(session: Session, assertion: VerifiedAssertion) -> bool:
    """Use the assertion up; false when it was used before. The caller commits the claim with its answer."""
    return first_uses(session.connection(), (claim_of(assertion),))[0]


def claim_of(assertion: VerifiedAssertion) -> Claim:
    """Return what is claimed when the assertion is used up."""
    return Claim(
        kind="client_assertion",
        owner=assertion.client.client_id,
        value=assertion.jti,
        # Kept past the last moment at which the assertion would still be accepted.
        expires_at=assertion.expires_at + 2 * CLOCK_SKEW,
    )


def check_subject(claims: Mapping[str, Any], expected: Expected) -> None:
    """RFC 7523 §3 items 1 and 2: issuer and subject are the client; a `client_id` beside must agree (RFC 7521 §4.2)."""
    client_id = expected.client.client_id
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise AssertionInvalid("wrong_subject")
    if expected.form.all("client_id") not in {(), (client_id,)}:
        raise AssertionInvalid("wrong_client_id")


def check_audience(claims: Mapping[str, Any], expected: Expected) -> None:
    """RFC 7523 §3 item 3: meant for us and for nobody else, or another server could use it here.

    FAPI 2.0 §5.3.2.1 item 8: from its clients, the issuer as a string and nothing else.
    """
    audience = claims.get("aud")
    if expected.client.oauth.fapi2 and not isinstance(audience, str):
        raise AssertionInvalid("wrong_audience")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not named:
        raise AssertionInvalid("wrong_audience")
    if any(not isinstance(one, str) or one not in expected.audiences for one in named):
        raise AssertionInvalid("wrong_audience")


def check_times(claims: Mapping[str, Any], expected: Expected) -> None:
    """RFC 7523 §3 items 4 to 6: `exp` has not passed; `nbf` and `iat`, if there, have come."""
    check_claims(
        claims,
        issuer=expected.client.client_id,
        audience=expected.audiences,
        now=expected.now,
        leeway_seconds=int(CLOCK_SKEW.total_seconds()),
    )


def check_lifetime(claims: Mapping[str, Any], expected: Expected) -> None:
    """RFC 7523 §3 items 4 and 6: an expiry unreasonably far in the future is refused.

    Some libraries state an hour. With `iat` that is accepted, and the assertion still ends five minutes after it.
    """
    usable_until = _usable_until(claims)
    if usable_until > (expected.now + LONGEST_LIFETIME + CLOCK_SKEW).timestamp():
        raise AssertionInvalid("lives_too_long")
    if usable_until <= (expected.now - CLOCK_SKEW).timestamp():
        raise AssertionInvalid("issued_too_long_ago")


def check_id(claims: Mapping[str, Any], _expected: Expected) -> None:
    """OIDC Core §9: `jti` is required, for it is what makes an assertion usable once."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID:
        raise AssertionInvalid("no_jti")


CHECKS = (check_subject, check_audience, check_times, check_lifetime, check_id)


def _algorithms_for(client: Client) -> tuple[str, ...]:
    accepted = FAPI_ALGORITHMS if client.oauth.fapi2 else ALGORITHMS
    # OIDC Registration §2: a client that named its algorithm is held to it, whatever it is called.
    named = client.oauth.token_endpoint_auth_signing_alg
    return accepted if named is None else tuple(one for one in accepted if algorithm_name(one) == algorithm_name(named))


def _accepted_type(assertion: str) -> str | None:
    # RFC 7523 asks for no `typ`, and most libraries send "JWT" or none; any other says it is something else (RFC 8725).
    header = unverified_header(assertion)
    if "typ" not in header:
        return None
    typ = header["typ"]
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in TYPES:
        raise AssertionInvalid("wrong_typ")
    return typ


def _verified(verified: VerifiedJws, claims: Mapping[str, Any], client: Client) -> VerifiedAssertion:
    expires_at = datetime.fromtimestamp(_usable_until(claims), tz=UTC)
    return VerifiedAssertion(client=client, jti=claims["jti"], key_id=verified.key_id, expires_at=expires_at)


def _usable_until(claims: Mapping[str, Any]) -> float:
    issued_at = claims.get("iat")
    expires_at = float(claims["exp"])
    return expires_at if issued_at is None else min(expires_at, issued_at + LONGEST_LIFETIME.total_seconds())
