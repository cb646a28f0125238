"""Who is this client: private_key_jwt (RFC 7523 §2.2 and §3, OIDC Core §9).

Everything here but the single use of `jti` is decided without writing. The claim of the `jti` belongs to the
transaction that answers the request and is committed whatever the answer is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import Client, find_client
from gateway.errors import GatewayError
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import Parameters
from gateway.once.once import first_use
from gateway.wire.jws import VerifiedJws, check_claims, parse_claims, unverified_claims, unverified_header, verify_jws

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# `EdDSA` is the older name of Ed25519 (RFC 9864). Nothing symmetric, and never `none`.
ALGORITHMS = ("ES256", "PS256", "Ed25519", "EdDSA")
TYPES = ("jwt", "client-authentication+jwt")
# Widely used libraries state an hour; such an assertion is accepted for the five minutes after its `iat`.
LONGEST_LIFETIME = timedelta(minutes=5)
CLOCK_SKEW = timedelta(seconds=10)
LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAssertion:
    """A client that proved to hold its key; its assertion may be used once, before `expires_at`."""

    client: Client
    jti: str
    key_id: str
    expires_at: datetime


class AssertionInvalid(GatewayError):
    """A claim that does not hold; `public` is the reason."""

    code = "invalid_client"


def verify_assertion(
    session: Session, form: Parameters, *, endpoints: Endpoints, now: datetime
) -> VerifiedAssertion | ClientRejected:
    """Verify the client assertion of a request."""
    assertion = form.one("client_assertion")
    if assertion is None or form.one("client_assertion_type") != ASSERTION_TYPE:
        return ClientRejected(reason="no_assertion")
    client = _named_client(session, assertion)
    if client is None:
        return ClientRejected(reason="unknown_client")
    signed = False
    try:
        verified = verify_jws(assertion, keys=client.keys, typ=_accepted_type(assertion), algorithms=ALGORITHMS)
        signed = True
        claims = parse_claims(verified)
        for check in CHECKS:
            check(claims, client, form, endpoints, now)
    except AssertionInvalid as error:
        return ClientRejected(reason=error.public, client=client, signed=signed)
    except GatewayError as error:
        return ClientRejected(reason=error.code, client=client, signed=signed)
    return _verified(verified, claims, client)


def claim_assertion(session: Session, assertion: VerifiedAssertion) -> bool:
    """Use the assertion up; false when it was used before. The caller commits the claim with its answer."""
    return first_use(
        session,
        kind="client_assertion",
        owner=assertion.client.client_id,
        value=assertion.jti,
        # Kept past the last moment at which the assertion would still be accepted.
        expires_at=assertion.expires_at + 2 * CLOCK_SKEW,
    )


def check_subject(
    claims: Mapping[str, Any], client: Client, form: Parameters, _endpoints: Endpoints, _now: datetime
) -> None:
    """RFC 7523 §3 items 1 and 2: issuer and subject are the client; a `client_id` beside must agree (RFC 7521 §4.2)."""
    if claims.get("iss") != client.client_id or claims.get("sub") != client.client_id:
        raise AssertionInvalid("wrong_subject")
    if form.all("client_id") not in {(), (client.client_id,)}:
        raise AssertionInvalid("wrong_client_id")


def check_audience(
    claims: Mapping[str, Any], _client: Client, _form: Parameters, endpoints: Endpoints, _now: datetime
) -> None:
    """RFC 7523 §3 item 3: meant for us and for nobody else, or another server could use it here."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not named or any(one not in (endpoints.issuer, endpoints.token) for one in named):
        raise AssertionInvalid("wrong_audience")


def check_times(
    claims: Mapping[str, Any], client: Client, _form: Parameters, endpoints: Endpoints, now: datetime
) -> None:
    """RFC 7523 §3 items 4 to 6: `exp` has not passed; `nbf` and `iat`, if there, have come."""
    check_claims(
        claims,
        issuer=client.client_id,
        audience=(endpoints.issuer, endpoints.token),
        now=now,
        leeway_seconds=int(CLOCK_SKEW.total_seconds()),
    )


def check_lifetime(
    claims: Mapping[str, Any], _client: Client, _form: Parameters, _endpoints: Endpoints, now: datetime
) -> None:
    """RFC 7523 §3 items 4 and 6: an expiry unreasonably far in the future is refused.

    Some libraries state an hour. With `iat` that is accepted, and the assertion still ends five minutes after it.
    """
    usable_until = _usable_until(claims)
    if usable_until > (now + LONGEST_LIFETIME + CLOCK_SKEW).timestamp():
        raise AssertionInvalid("lives_too_long")
    if usable_until <= (now - CLOCK_SKEW).timestamp():
        raise AssertionInvalid("issued_too_long_ago")


def check_id(
    claims: Mapping[str, Any], _client: Client, _form: Parameters, _endpoints: Endpoints, _now: datetime
) -> None:
    """OIDC Core §9: `jti` is required, for it is what makes an assertion usable once."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID:
        raise AssertionInvalid("no_jti")


CHECKS = (check_subject, check_audience, check_times, check_lifetime, check_id)


def _named_client(session: Session, assertion: str) -> Client | None:
    try:
        named = unverified_claims(assertion).get("sub")
    except GatewayError:
        return None
    if not isinstance(named, str) or len(named) > LONGEST_ID or not named.isprintable():
        return None
    return find_client(session, named)


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
