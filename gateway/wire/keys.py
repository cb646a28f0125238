"""Public keys as JWKs (RFC 7517), and the one function that checks a raw signature.

JWS and HTTP message signatures use the same raw bytes: ES256 is RFC 9421's `ecdsa-p256-sha256`, Ed25519 its `ed25519`.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.wire.errors import InvalidSignature, UnusableKey

Jwk = Mapping[str, Any]

# The algorithms the gateway itself signs with and, unless a dialect says otherwise, accepts.
SIGNING_ALGORITHMS = ("ES256", "PS256", "Ed25519")

# RFC 9864 §2.2: `EdDSA` is the older, polymorphic name; with an Ed25519 key it is the same signature.
_SAME_ALGORITHM = {"EdDSA": "Ed25519"}

_KEY_TYPES: dict[str, type[ECKey | RSAKey | OKPKey]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
_SMALLEST_RSA_KEY = 2048  # bits, RFC 7518 §3.5


def algorithm_name(name: object) -> str:
    """Return the current JOSE name of an algorithm (`EdDSA` becomes `Ed25519`), or raise `UnusableKey`."""
    if not isinstance(name, str):
        raise UnusableKey("an algorithm must be named")
    return _SAME_ALGORITHM.get(name, name)


def algorithm_of(jwk: Jwk) -> str:
    """Return the one algorithm a public key may verify with: its `alg`, else what its type and curve imply.

    Raises `UnusableKey` for a key that is not for signatures.
    """
    # RFC 7517 §4.2: a key for encryption verifies nothing, even where its curve would allow it.
    if jwk.get("use", "sig") != "sig":
        raise UnusableKey("this key is not for signatures")
    if "alg" in jwk:
        return algorithm_name(jwk["alg"])
    implied = {("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "Ed25519", ("RSA", None): "PS256"}
    try:
        return implied[(jwk["kty"], jwk.get("crv"))]
    except (KeyError, TypeError) as error:
        raise UnusableKey("this kind of key is not accepted") from error


def find_key(keys: Sequence[Jwk], kid: object) -> Jwk | None:
    """Return the key with this `kid`, or None; raises `UnusableKey` when two keys share it."""
    named = [key for key in keys if isinstance(kid, str) and key.get("kid") == kid]
    if len(named) > 1:
        raise UnusableKey("two keys have the same kid")
    return named[0] if named else None


def check_signature(message: bytes, signature: bytes, *, jwk: Jwk, algorithm: str) -> None:
    """Check a raw JOSE signature (ES256: 64-byte r‖s).

    `algorithm` is the JOSE name the signature claims. Raises `UnusableKey` when the key is not made for it (RFC 8725
    §3.1), `InvalidSignature` when the signature does not verify.
    """
    name = algorithm_name(algorithm)
    if name != algorithm_of(jwk):
        raise UnusableKey("the key is not registered for this algorithm")
    try:
        key = _imported(tuple(sorted((member, jwk[member]) for member in _PUBLIC_MEMBERS if member in jwk)))
        model = JWSRegistry(algorithms=[name]).get_alg(name)
        model.check_key(key)
        verified = model.verify(message, signature, key)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise UnusableKey("the key cannot be used with this algorithm", detail=str(error)) from error
    if not verified:
        raise InvalidSignature


def thumbprint(jwk: Jwk) -> str:
    """Return the RFC 7638 SHA-256 thumbprint of a key, base64url; raises `UnusableKey`."""
    try:
        return _imported(
            tuple(sorted((member, jwk[member]) for member in _PUBLIC_MEMBERS if member in jwk))
        ).thumbprint()
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise UnusableKey("this is not a public key we understand", detail=str(error)) from error


def public_members(jwk: Jwk) -> dict[str, Any]:
    """Return a key's name, algorithm and public half, and nothing else that was written into the JWK."""
    return {name: jwk[name] for name in ("kid", "alg", *_PUBLIC_MEMBERS) if name in jwk}


# Only these make the key; `d` and the other private members are never read.
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")


# Importing checks that a point lies on its curve, which costs as much as a signature: remember recent keys by value.
@lru_cache(maxsize=512)
def _imported(members: tuple[tuple[str, str], ...]) -> Key:
    jwk: dict[str, str | list[str]] = dict(members)
    key_type = _KEY_TYPES.get(str(jwk.get("kty")))
    # A symmetric key is never public: this is what stops HS256 with a public key as its secret (RFC 8725 §2.1).
    if key_type is None:
        raise UnusableKey("only public keys of type EC, RSA and OKP are accepted")
    key = key_type.import_key(jwk)
    if isinstance(key, RSAKey) and key.public_key.key_size < _SMALLEST_RSA_KEY:
        raise UnusableKey("RSA keys must have at least 2048 bits")
    return key
