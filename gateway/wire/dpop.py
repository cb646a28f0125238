"""DPoP proofs (RFC 9449 §4): whoever sends this request holds this key, for this address, now.

The key comes with the proof: a proof alone tells nobody who somebody is, only that two requests come from the holder of
one key. Refusing a proof used before, and deciding which key a token is bound to, is left to the caller.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from gateway.errors import GatewayError, Kind
from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.jws import unverified_claims, unverified_header
from gateway.wire.keys import Jwk, check_signature, thumbprint
from gateway.wire.signer import Signer

TYP = "dpop+jwt"
ALGORITHMS = ("ES256", "PS256", "Ed25519", "EdDSA")
"""RFC 9449 §11.6: nothing symmetric, and no `none`. `EdDSA` is the older name of Ed25519."""
MAX_AGE = timedelta(seconds=60)
MAX_AHEAD = timedelta(seconds=10)
"""FAPI 2.0 §5.3.2.1 item 13: up to 10 seconds must be accepted, and over 60 refused; we stay at the lower end."""
LONGEST_ID = 200
LONGEST_PROOF = 8000

_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y", "n", "e"})
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What would change the rules, or bring a second key beside the one in `jwk`.
_REFUSED_HEADERS = ("crit", "b64", "jku", "x5u", "x5c")
_DEFAULT_PORTS = {"https": 443, "http": 80}


class InvalidProof(GatewayError):
    """A DPoP proof that does not hold; `public` says which rule of RFC 9449 §4.3 it breaks."""

    kind = Kind.UNAUTHENTICATED
    code = "invalid_dpop_proof"
    title = "The DPoP proof is not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedProof:
    """A proof that holds: the thumbprint (RFC 7638) of its key, and what the caller must still judge."""

    jkt: str
    jti: str
    nonce: str | None
    usable_until: datetime
    """After which the proof would be refused for its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedRequest:
    """What a proof must be made for."""

    method: str
    addresses: Collection[str]
    """Every address by which the endpoint may be called; query and fragment do not count."""
    access_token: str | None
    """The token that comes with it, whose hash must be in `ath`; None where none does."""
    now: datetime


def verify_proof(unverified: str, request: ProvedRequest) -> VerifiedProof:
    """Check one proof as RFC 9449 §4.3 numbers its rules; raises `InvalidProof`."""
    if len(unverified) > LONGEST_PROOF:
        raise InvalidProof("The proof is too long")
    try:
        header, claims = unverified_header(unverified), unverified_claims(unverified)
    except GatewayError as error:
        # Items 1 and 2: exactly one proof, and it is a JWT. Several headers arrive joined by commas.
        raise InvalidProof("Exactly one DPoP header with one JWT is needed") from error
    key = _key_of(header)
    _check_signature(unverified, header, key)
    for check in CHECKS:
        check(claims, request)
    return VerifiedProof(
        jkt=thumbprint(key),
        jti=claims["jti"],
        nonce=claims["nonce"] if isinstance(claims.get("nonce"), str) else None,
        usable_until=datetime.fromtimestamp(claims["iat"], tz=UTC) + MAX_AGE,
    )


def issue_proof(
    signer: Signer,
    *,
    method: str,
    address: str,
    now: datetime,
    access_token: str | None = None,
    nonce: str | None = None,
) -> str:
    """Return a new proof (RFC 9449 §4.2) for one request to `address`, without query and fragment.

    With `access_token` it is for showing that token; `nonce` is the one the server gave out.
    """
    public = {name: value for name, value in signer.public_jwk().items() if name in _PUBLIC_MEMBERS}
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": address.partition("#")[0].partition("?")[0],
        "iat": int(now.timestamp()),
    }
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    header = {"typ": TYP, "alg": signer.algorithm, "jwk": public}
    message = ".".join(b64url_encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{message}.{b64url_encode(signer.sign(message.encode()))}"


def token_hash(access_token: str) -> str:
    """Return a token's `ath`: base64url of the SHA-256 of its ASCII bytes (RFC 9449 §4.2)."""
    return b64url_encode(hashlib.sha256(access_token.encode("utf-8", "surrogatepass")).digest())


def check_id(claims: Mapping[str, Any], _request: ProvedRequest) -> None:
    """RFC 9449 §4.2: `jti` is there, for it is what makes a proof usable once."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_ID:
        raise InvalidProof("jti is missing or unusable")


def check_method(claims: Mapping[str, Any], request: ProvedRequest) -> None:
    """RFC 9449 §4.3 item 8: methods are compared with case (RFC 9110 §9.1)."""
    if claims.get("htm") != request.method:
        raise InvalidProof("htm is not the method of this request")


def check_address(claims: Mapping[str, Any], request: ProvedRequest) -> None:
    """RFC 9449 §4.3 item 9: made for this endpoint; another's proof is worth nothing here."""
    named = _normalised(claims.get("htu"))
    if named is None or named not in {_normalised(address) for address in request.addresses}:
        raise InvalidProof("htu is not the address of this request")


def check_time(claims: Mapping[str, Any], request: ProvedRequest) -> None:
    """RFC 9449 §4.3 item 11, FAPI 2.0 §5.3.2.1 item 13: made a moment ago."""
    issued_at, now = claims.get("iat"), request.now.timestamp()
    if isinstance(issued_at, bool) or not isinstance(issued_at, int | float):
        raise InvalidProof("iat is missing or not a number")
    if not now - MAX_AGE.total_seconds() <= issued_at <= now + MAX_AHEAD.total_seconds():
        raise InvalidProof("iat is too long ago, or in the future")


def check_token(claims: Mapping[str, Any], request: ProvedRequest) -> None:
    """RFC 9449 §4.3 item 12: with an access token, `ath` is the hash of that very token."""
    if request.access_token is None:
        return
    named = claims.get("ath")
    if not isinstance(named, str) or not hmac.compare_digest(
        named.encode("utf-8", "surrogatepass"), token_hash(request.access_token).encode("ascii")
    ):
        raise InvalidProof("ath is not the hash of the access token")


CHECKS: tuple[Callable[[Mapping[str, Any], ProvedRequest], None], ...] = (
    check_id,
    check_method,
    check_address,
    check_time,
    check_token,
)


def _key_of(header: Mapping[str, Any]) -> Jwk:
    typ = header.get("typ")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != TYP:
        raise InvalidProof("typ is not dpop+jwt")
    refused = [name for name in _REFUSED_HEADERS if name in header]
    if refused:
        raise InvalidProof(f"The header parameter {refused[0]} is not accepted")
    if header.get("alg") not in ALGORITHMS:
        raise InvalidProof("alg is not accepted")
    key = header.get("jwk")
    if not isinstance(key, dict):
        raise InvalidProof("jwk is missing")
    # Item 7: whoever shows its private key to the world proves nothing with it.
    if not _PRIVATE_MEMBERS.isdisjoint(key):
        raise InvalidProof("jwk holds a private key")
    return key


def _check_signature(unverified: str, header: Mapping[str, Any], key: Jwk) -> None:
    message, _, signature = unverified.rpartition(".")
    try:
        check_signature(message.encode("ascii"), b64url_decode(signature), jwk=key, algorithm=header["alg"])
    except (GatewayError, UnicodeEncodeError) as error:
        raise InvalidProof("The signature does not verify with the key in jwk", detail=str(error)) from error


def _normalised(address: object) -> tuple[str, str, int | None, str] | None:
    """Scheme and host without case, the default port named, an empty path as `/` (RFC 3986 §6.2.2 and §6.2.3)."""
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    # What stands before an @ is part of the authority: it is never left out of a comparison.
    host = parts.netloc.lower() if "@" in parts.netloc else (parts.hostname or "")
    return parts.scheme, host, port, parts.path or "/"
