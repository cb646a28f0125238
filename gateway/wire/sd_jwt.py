"""Records whose fields can be dropped without breaking the provider's signature: SD-JWT, RFC 9901.

Our profile is flat: the issuer-signed JWT carries `iss`, `aud`, `sub`, `jti`, `iat` and `exp` in the clear, and every
field of the record is one selectively disclosable property beside them. There is no key binding: the message signature
binds the record to its recipient. Nested disclosures, array disclosures and other hashes than SHA-256 are refused.
"""

import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.wire.canonical import digest_b64
from gateway.wire.encoding import b64url_decode, b64url_encode, parse_json
from gateway.wire.errors import InvalidRecord, MalformedInput
from gateway.wire.jws import (
    DEFAULT_LEEWAY_SECONDS,
    VerifiedClaims,
    check_claims,
    issue_jwt,
    parse_claims,
    verify_jws,
)
from gateway.wire.keys import Jwk
from gateway.wire.signer import Signer

_SALT_BYTES = 16  # RFC 9901 §9.3: at least 128 bits of salt.
_BLOCK_BYTES = 192  # 256 characters in base64url
_HASH = "sha-256"
_MAX_DEPTH = 32

# Claims that say what the record is and for whom: a disclosure must not be able to state them.
_REGISTERED = ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf", "vct")
# RFC 9901 §4.1: the names SD-JWT keeps for itself.
_NEVER_A_FIELD = frozenset((*_REGISTERED, "_sd", "_sd_alg", "..."))


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRecord:
    """An SD-JWT that was checked.

    `claims` are the clear claims, `fields` the disclosed values by name, `disclosures` the encoded disclosure of each
    field (in the order received), `issuer_jwt` the provider's own signed part, unchanged, `key` the public key with
    which that was verified, `digests` those of every field that the issuer signed for.
    """

    claims: VerifiedClaims
    fields: dict[str, Any]
    disclosures: dict[str, str]
    issuer_jwt: str
    key: Jwk
    digests: frozenset[str]


def issue_sd_jwt(
    claims: Mapping[str, object], fields: Mapping[str, object], *, signer: Signer, typ: str, padded: bool = False
) -> str:
    """Return `<jws>~<disclosure>~…~`: `claims` in the clear, every field selectively disclosable.

    `padded` makes every disclosure a multiple of 256 characters long, where it will be encrypted: that hides
    what a value is, and not its length. Raises `InvalidRecord` when a field's name is reserved or already a claim.
    """
    for name in fields:
        _check_field_name(name, claims)
    disclosures = [_disclosure(name, value, padded=padded) for name, value in fields.items()]
    # RFC 9901 §4.2.4.1: sorted digests do not tell which field is which.
    digests = sorted(digest_b64(disclosure.encode("ascii")) for disclosure in disclosures)
    issuer_jwt = issue_jwt({**claims, "_sd": digests, "_sd_alg": _HASH}, typ=typ, signer=signer)
    return _join(issuer_jwt, disclosures)


def verify_sd_jwt(
    unverified: str,
    *,
    keys: Sequence[Jwk],
    typ: str,
    algorithms: Collection[str],
    issuer: str,
    audience: str,
    now: datetime,
    leeway_seconds: int = DEFAULT_LEEWAY_SECONDS,
) -> VerifiedRecord:
    """Check a record: the issuer's signature, the claims, and every disclosure against its digest (RFC 9901 §7.1).

    Raises `InvalidRecord`, and what `verify_jwt` raises. Digests without a disclosure are decoys or dropped fields.
    """
    # 1. Take the parts; a part after the last tilde would be a key binding JWT, which this profile does not use.
    if not unverified.endswith("~"):
        raise InvalidRecord("the record must end with a tilde, without a key binding JWT")
    issuer_jwt, *disclosures = unverified.removesuffix("~").split("~")
    # 2. The issuer's signature and claims.
    verified = verify_jws(issuer_jwt, keys=keys, typ=typ, algorithms=algorithms)
    payload = parse_claims(verified)
    digests = _digests(payload)
    claims = check_claims(
        {name: value for name, value in payload.items() if name not in ("_sd", "_sd_alg")},
        issuer=issuer,
        audience=audience,
        now=now,
        leeway_seconds=leeway_seconds,
    )
    # 3. Every disclosure is one the issuer signed for, and states a field once.
    fields: dict[str, Any] = {}
    encoded: dict[str, str] = {}
    for disclosure in disclosures:
        name, value = _read_disclosure(disclosure, digests, claims)
        if name in fields:
            raise InvalidRecord("a field is disclosed twice")
        fields[name], encoded[name] = value, disclosure
    return VerifiedRecord(
        claims=claims, fields=fields, disclosures=encoded, issuer_jwt=issuer_jwt, key=verified.key, digests=digests
    )


def keep_only(record: VerifiedRecord, fields: Collection[str]) -> str:
    """Return the same SD-JWT with only the disclosures of these fields: the provider's signature still verifies.

    A field that was not disclosed stays undisclosed; an empty collection keeps none.
    """
    return _join(record.issuer_jwt, [disclosure for name, disclosure in record.disclosures.items() if name in fields])


def without_disclosures(sd_jwt: str) -> tuple[str, dict[str, str]]:
    """Take a record of our own making apart: the issuer's JWT as a record without disclosures, and those by field."""
    issuer_jwt, *disclosures = sd_jwt.removesuffix("~").split("~")
    return _join(issuer_jwt, ()), {parse_json(b64url_decode(one))[1]: one for one in disclosures}


def with_disclosures(sd_jwt: str, disclosures: Sequence[str]) -> str:
    """Return a record with these disclosures beside those that it has; nothing is verified here."""
    return sd_jwt + "".join(f"{disclosure}~" for disclosure in disclosures)


def _join(issuer_jwt: str, disclosures: Sequence[str]) -> str:
    return "~".join((issuer_jwt, *disclosures, ""))


def _disclosure(name: str, value: object, *, padded: bool) -> str:
    # RFC 9901 §4.2.1: an array of salt, name and value; the digest is over these very bytes, so any spelling will do.
    salt = b64url_encode(secrets.token_bytes(_SALT_BYTES))
    content = _salted(salt, name, value)
    if padded:
        # RFC 9901 §9.3 asks for at least so much salt; more of it is ASCII, a byte a character.
        salt += secrets.token_urlsafe(_BLOCK_BYTES)[: -len(content) % _BLOCK_BYTES]
        content = _salted(salt, name, value)
    return b64url_encode(content)


def _salted(salt: str, name: str, value: object) -> bytes:
    return json.dumps([salt, name, value], ensure_ascii=False, allow_nan=False).encode("utf-8")


def _digests(payload: Mapping[str, Any]) -> frozenset[str]:
    # RFC 9901 §4.1.1: sha-256 is also what an absent _sd_alg means.
    if payload.get("_sd_alg", _HASH) != _HASH:
        raise InvalidRecord("the only hash accepted for disclosures is sha-256")
    digests = payload.get("_sd", [])
    if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
        raise InvalidRecord("_sd must be an array of digests")
    # RFC 9901 §7.1 step 4: a digest must not appear twice.
    if len(set(digests)) != len(digests):
        raise InvalidRecord("a digest is repeated")
    if any(_holds_disclosures(value) for name, value in payload.items() if name != "_sd"):
        raise InvalidRecord("nested disclosures are not accepted")
    return frozenset(digests)


def _read_disclosure(disclosure: str, digests: frozenset[str], claims: Mapping[str, Any]) -> tuple[str, Any]:
    # RFC 9901 §7.1 step 5: a disclosure nobody signed for makes the whole record invalid.
    if not disclosure.isascii() or digest_b64(disclosure.encode("ascii")) not in digests:
        raise InvalidRecord("a disclosure is not covered by the issuer's signature")
    try:
        parts = parse_json(b64url_decode(disclosure))
    except MalformedInput as error:
        raise InvalidRecord("a disclosure is not base64url of JSON") from error
    if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) for part in parts[:2]):  # noqa: PLR2004
        raise InvalidRecord("a disclosure must be an array of salt, name and value")
    _, name, value = parts
    _check_field_name(name, claims)
    if _holds_disclosures(value):
        raise InvalidRecord("nested disclosures are not accepted")
    return name, value


def _check_field_name(name: str, claims: Mapping[str, object]) -> None:
    if name in _NEVER_A_FIELD:
        raise InvalidRecord("a field has a reserved name")
    # RFC 9901 §7.1 step 3: a field must not replace a clear claim.
    if name in claims:
        raise InvalidRecord("a field has the name of a clear claim")


def _holds_disclosures(value: object, depth: int = 0) -> bool:
    # Whoever reads the record walks through it too: a value nested without end would exhaust any of them.
    if depth > _MAX_DEPTH:
        raise InvalidRecord("a value is nested too deeply")
    if isinstance(value, dict):
        return "_sd" in value or "..." in value or any(_holds_disclosures(item, depth + 1) for item in value.values())
    return isinstance(value, list) and any(_holds_disclosures(item, depth + 1) for item in value)
