"""Compact JWS (RFC 7515) and JWT (RFC 7519), under our profile of RFC 8725.

We build the signing input and a `Signer` signs it, so a hardware module works as well as a key in memory. Every kind of
statement has its own `typ`, which is checked. The key is chosen by `kid` among those the caller trusts; a header can
never bring or point to a key of its own. Replay (`jti`) is refused by the caller.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NewType

from gateway.wire.encoding import b64url_decode, b64url_encode, parse_json_object
from gateway.wire.errors import InvalidClaims, InvalidJws, InvalidSignature, MalformedInput, UnusableKey
from gateway.wire.keys import Jwk, algorithm_name, check_signature, find_key
from gateway.wire.signer import Signer

# The claims of a JWT whose signature, type, issuer, audience and times were all checked.
VerifiedClaims = NewType("VerifiedClaims", dict[str, Any])

DEFAULT_LEEWAY_SECONDS = 5
_LAST_NUMERIC_DATE = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second a datetime can hold

# RFC 8725 §3.10 and RFC 7515 §4.1.11: a header may neither bring a key, nor point to one, nor change the rules.
_REFUSED_HEADERS = ("crit", "jku", "jwk", "x5u", "x5c", "b64")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedJws:
    """A statement whose signature was checked: protected header, payload bytes, the key that signed and its `kid`."""

    header: Mapping[str, Any]
    payload: bytes
    key_id: str
    key: Jwk


def issue_jws(payload: bytes, *, typ: str, signer: Signer, headers: Mapping[str, object] | None = None) -> str:
    """Return `payload` as a compact JWS; `headers` are further protected header parameters."""
    header, signature = _sign(payload, typ=typ, signer=signer, headers=headers)
    return f"{header}.{b64url_encode(payload)}.{signature}"


def issue_detached_jws(payload: bytes, *, typ: str, signer: Signer, headers: Mapping[str, object] | None = None) -> str:
    """Return the JWS of `payload` without it (RFC 7515 appendix F): `header..signature`."""
    header, signature = _sign(payload, typ=typ, signer=signer, headers=headers)
    return f"{header}..{signature}"


def issue_jwt(claims: Mapping[str, object], *, typ: str, signer: Signer) -> str:
    """Return claims as a signed JWT. Times among them are NumericDate: whole seconds since 1970 UTC."""
    return issue_jws(_compact_json(claims), typ=typ, signer=signer)


def verify_jws(unverified: str, *, keys: Sequence[Jwk], typ: str | None, algorithms: Collection[str]) -> VerifiedJws:
    """Check a compact JWS against the keys and algorithms the caller trusts; `typ` None: it must not carry one.

    Raises `InvalidJws` for its form, type, algorithm or key, `InvalidSignature` when the signature does not verify.
    """
    header, payload, signature = _split(unverified)
    if not payload:
        raise InvalidJws("the payload is missing")
    return _verify(header, payload, signature, keys=keys, typ=typ, algorithms=algorithms)


def verify_detached_jws(
    unverified: str, payload: bytes, *, keys: Sequence[Jwk], typ: str, algorithms: Collection[str]
) -> VerifiedJws:
    """Check a detached JWS over `payload`; raises as `verify_jws` does."""
    header, embedded, signature = _split(unverified)
    # A payload inside would leave it open which of the two was signed.
    if embedded:
        raise InvalidJws("a detached signature must not hold a payload")
    return _verify(header, b64url_encode(payload), signature, keys=keys, typ=typ, algorithms=algorithms)


def verify_jwt(
    unverified: str,
    *,
    keys: Sequence[Jwk],
    typ: str,
    algorithms: Collection[str],
    issuer: str,
    audience: str | Collection[str],
    now: datetime,
    leeway_seconds: int = DEFAULT_LEEWAY_SECONDS,
) -> VerifiedClaims:
    """Check a JWT: as `verify_jws`, then `iss`, `aud` (one of `audience`), `exp` (required), `nbf` and `iat`.

    Raises `InvalidClaims` naming the claim that does not hold.
    """
    verified = verify_jws(unverified, keys=keys, typ=typ, algorithms=algorithms)
    return check_claims(
        parse_claims(verified), issuer=issuer, audience=audience, now=now, leeway_seconds=leeway_seconds
    )


def parse_claims(verified: VerifiedJws) -> dict[str, Any]:
    """Read the payload of a verified JWS as claims, none of which has been checked yet; raises `InvalidClaims`."""
    try:
        return parse_json_object(verified.payload)
    except MalformedInput as error:
        raise InvalidClaims("the claims are not a JSON object") from error


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    audience: str | Collection[str],
    now: datetime,
    leeway_seconds: int = DEFAULT_LEEWAY_SECONDS,
) -> VerifiedClaims:
    """Check the registered claims of a payload whose signature was already verified; raises `InvalidClaims`."""
    accepted = {audience} if isinstance(audience, str) else set(audience)
    instant = now.timestamp()

    # RFC 7519 §4.1.1: the issuer is compared exactly.
    if claims.get("iss") != issuer:
        raise InvalidClaims("iss is not the expected issuer")
    # RFC 7519 §4.1.3: a token for somebody else is refused; a token for nobody is too.
    if not accepted & _audiences(claims.get("aud")):
        raise InvalidClaims("aud does not name this recipient")
    # RFC 7519 §4.1.4, and RFC 8725 by our profile: a token without an end is refused.
    if _numeric_date(claims, "exp", required=True) <= instant - leeway_seconds:
        raise InvalidClaims("exp has passed")
    # RFC 7519 §4.1.5.
    if _numeric_date(claims, "nbf") > instant + leeway_seconds:
        raise InvalidClaims("nbf has not come yet")
    # RFC 7519 §4.1.6: a token from the future shows a wrong clock or a forged time.
    if _numeric_date(claims, "iat") > instant + leeway_seconds:
        raise InvalidClaims("iat is in the future")
    return VerifiedClaims(dict(claims))


def unverified_header(unverified: str) -> dict[str, Any]:
    """Read the header of a JWS without checking anything: only to find out whose keys to fetch."""
    return _parse_header(_split(unverified)[0])


def unverified_claims(unverified: str) -> dict[str, Any]:
    """Read the claims of a JWT without checking anything: only to find out who claims to have issued it."""
    try:
        return parse_json_object(b64url_decode(_split(unverified)[1]))
    except MalformedInput as error:
        raise InvalidJws("the payload is not a JSON object") from error


def _sign(payload: bytes, *, typ: str, signer: Signer, headers: Mapping[str, object] | None) -> tuple[str, str]:
    protected = {**(headers or {}), "alg": signer.algorithm, "kid": signer.key_id, "typ": typ}
    header = b64url_encode(_compact_json(protected))
    signature = signer.sign(f"{header}.{b64url_encode(payload)}".encode("ascii"))
    return header, b64url_encode(signature)


def _compact_json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _split(unverified: str) -> tuple[str, str, str]:
    parts = unverified.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515 §7.1
        raise InvalidJws("a compact JWS has three parts")
    return parts[0], parts[1], parts[2]


def _parse_header(header: str) -> dict[str, Any]:
    try:
        return parse_json_object(b64url_decode(header))
    except MalformedInput as error:
        raise InvalidJws("the header is not a JSON object") from error


def _verify(
    header: str, payload: str, signature: str, *, keys: Sequence[Jwk], typ: str | None, algorithms: Collection[str]
) -> VerifiedJws:
    protected = _parse_header(header)
    algorithm = _check_header(protected, typ=typ, algorithms=algorithms)
    key = _key_named(protected, keys)
    try:
        raw_payload, raw_signature = b64url_decode(payload), b64url_decode(signature)
    except MalformedInput as error:
        raise InvalidJws("the payload or signature is not base64url") from error
    try:
        check_signature(f"{header}.{payload}".encode("ascii"), raw_signature, jwk=key, algorithm=algorithm)
    except UnusableKey as error:
        raise InvalidJws("the key is not made for this algorithm", detail=str(error)) from error
    except InvalidSignature as error:
        raise InvalidSignature("the signature of the statement does not verify") from error
    return VerifiedJws(header=protected, payload=raw_payload, key_id=key["kid"], key=key)


def _check_header(protected: Mapping[str, Any], *, typ: str | None, algorithms: Collection[str]) -> str:
    refused = [name for name in _REFUSED_HEADERS if name in protected]
    if refused:
        raise InvalidJws(f"the header parameter {refused[0]} is not accepted")
    # RFC 8725 §3.11: explicit typing keeps one kind of statement from being taken for another.
    if ("typ" in protected) != (typ is not None) or _media_type(protected.get("typ")) != _media_type(typ):
        raise InvalidJws("the typ of the statement is not the expected one")
    # RFC 8725 §3.1: only algorithms the caller named; `none` can never be among our keys' algorithms.
    algorithm = protected.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise InvalidJws("the algorithm is not accepted")
    return algorithm_name(algorithm)


def _media_type(typ: object) -> str | None:
    # RFC 7515 §4.1.9: media types are compared without case, and "application/" may be left out.
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else None


def _key_named(protected: Mapping[str, Any], keys: Sequence[Jwk]) -> Jwk:
    if "kid" not in protected:
        raise InvalidJws("the header names no kid")
    try:
        key = find_key(keys, protected["kid"])
    except UnusableKey as error:
        raise InvalidJws("the kid is ambiguous") from error
    if key is None:
        raise InvalidJws("the kid is not known here")
    return key


def _audiences(value: object) -> set[str]:
    if isinstance(value, str):
        return {value}
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()


def _numeric_date(claims: Mapping[str, Any], name: str, *, required: bool = False) -> float:
    if name not in claims:
        if required:
            raise InvalidClaims(f"{name} is missing")
        return float("-inf")
    value = claims[name]
    # Beyond the year 9999 there is no date, and integers of any length would not even fit a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LAST_NUMERIC_DATE:
        raise InvalidClaims(f"{name} is not a number of seconds")
    return value
