"""Which public keys a client may have, whether it hands them over or publishes them at an address of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.x509 import load_der_x509_certificate

from gateway.errors import GatewayError, Kind
from gateway.wire.encoding import b64_decode
from gateway.wire.keys import Jwk, algorithm_of, thumbprint
from gateway.wire.sealed_disclosures import check_encryption_key
from gateway.wire.signer import PublicKey, jwk_of

MOST_KEYS = 20
LONGEST_KID = 200
MOST_CERTIFICATES = 5
SMALLEST_RSA_BYTES = 256
LARGEST_RSA_BYTES = 1024
"""8192 bits: beyond that a single verification takes as long as a flood of others."""
# RFC 7518 §6.2.2, §6.3.2 and §6.4, RFC 8037 §2.
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What is kept of a key; `x5c` is what a self-signed certificate is known by (RFC 8705 §2.2.2). An `x5u` would have us
# fetch something whenever the key is used, and is left out.
KEPT_MEMBERS = ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "x5c")


class KeysUnusable(GatewayError):
    """Keys that a client cannot have; `public` says what to change."""

    kind = Kind.INVALID
    code = "keys_unusable"
    title = "These keys cannot be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredKeys:
    """The keys of one client: with which it signs, and to which is encrypted what it alone should read."""

    signing: tuple[Jwk, ...]
    encryption: tuple[Jwk, ...]


def registered_keys(document: object) -> RegisteredKeys:
    """Return the keys of a JWK set that a client hands over, every one of which has to be usable; `KeysUnusable`."""
    members = _members_of(document)
    for key in members:
        check_any_key(key)
    check_each_has_one_use(members)
    found = _unmistakable(members)
    split = RegisteredKeys(
        signing=tuple(key for key in found if not is_for_encryption(key)),
        encryption=tuple(key for key in found if is_for_encryption(key)),
    )
    if not split.signing:
        raise KeysUnusable(f"There is no key that can sign. {_KINDS}")
    return split


def check_any_key(key: Mapping[str, Any]) -> None:
    """One key, by the rules for its use; raises `KeysUnusable`."""
    if is_for_encryption(key):
        check_key_for_encryption(key)
    else:
        check_key(key)


def check_each_has_one_use(keys: Sequence[Mapping[str, Any]]) -> None:
    """No key signs and is encrypted to; raises `KeysUnusable`."""
    signing = {thumbprint(key) for key in keys if not is_for_encryption(key)}
    for key in keys:
        # NIST SP 800-57 part 1 §5.2: a key pair has one use.
        if is_for_encryption(key) and thumbprint(key) in signing:
            raise KeysUnusable(f'{_name_of(key)} signs as well: make another one for the use "enc"')


def is_for_encryption(key: Mapping[str, Any]) -> bool:
    """RFC 7517 §4.2."""
    return key.get("use") == "enc"


def published_keys(document: object) -> tuple[Jwk, ...]:
    """Return the usable keys of a JWK set that a client publishes; raises `KeysUnusable`.

    Others read the set too: keys for encryption, or of kinds we do not know, are passed over (RFC 7517 §5). A private
    key among them is not: whoever publishes it does not know what they are doing.
    """
    found = _members_of(document)
    for key in found:
        check_nothing_private(key)
    return _unmistakable([key for key in found if _is_usable(key)])


def check_nothing_private(key: Mapping[str, Any]) -> None:
    """RFC 7591 §2: the set holds public keys alone."""
    if held := sorted(PRIVATE_MEMBERS & set(key)):
        raise KeysUnusable(
            f"{_name_of(key)} has the private member {held[0]} and is no secret any more: "
            "make a new one, and send its public half"
        )


def check_key_for_encryption(key: Mapping[str, Any]) -> None:
    """One key: public, named, for encryption, of an accepted kind; raises `KeysUnusable`."""
    name = _check_named(key)
    try:
        check_encryption_key(key)
    except GatewayError as error:
        raise KeysUnusable(f'{name} with the use "enc": {error.public}') from error


def _check_named(key: Mapping[str, Any]) -> str:
    check_nothing_private(key)
    name, kid = _name_of(key), key.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_KID or not kid.isprintable() or not kid.isascii():
        raise KeysUnusable(f"{name} needs a kid: 1 to {LONGEST_KID} printable ASCII characters")
    return name


def check_key(key: Mapping[str, Any]) -> None:
    """One key: public, named, for signatures, of an accepted kind and size; raises `KeysUnusable`."""
    name = _check_named(key)
    if key.get("use", "sig") != "sig":
        raise KeysUnusable(f'{name} has another use than "sig", or "enc" for encryption')
    if key.get("kty") == "RSA":
        _check_rsa(key, name)
    try:
        # An `alg` says nothing about the curve: that the key is one of its kind is judged without it.
        algorithm_of({member: value for member, value in key.items() if member != "alg"})
        algorithm = algorithm_of(key)
        thumbprint(key)
    except GatewayError as error:
        raise KeysUnusable(f"{name}: {error.public}. {_KINDS}") from error
    if algorithm not in _ALGORITHMS.get(str(key["kty"]), ()):
        raise KeysUnusable(f"{name}: its alg is not accepted for this kind of key. {_KINDS}")
    if "x5c" in key:
        _check_certificate(key, name)


_KINDS = "Accepted are P-256 (ES256), RSA of 2048 bits or more (PS256; RS256 where alg says so), and Ed25519"
_ALGORITHMS = {"EC": ("ES256",), "RSA": ("PS256", "RS256"), "OKP": ("Ed25519",)}


def _check_certificate(key: Mapping[str, Any], name: str) -> None:
    """RFC 7517 §4.7: certificates in base64, the first of which is this key's."""
    chain = key["x5c"]
    problem = KeysUnusable(f"{name} has an x5c that is not a list of certificates in base64, the first for this key")
    if not isinstance(chain, list) or not 0 < len(chain) <= MOST_CERTIFICATES:
        raise problem
    try:
        ders = [b64_decode(one) for one in chain if isinstance(one, str)]
        own = load_der_x509_certificate(ders[0]).public_key()
        matches = isinstance(own, PublicKey) and jwk_of(own)["kid"] == thumbprint(key)
    except (GatewayError, ValueError, IndexError) as error:
        raise problem from error
    if not matches or len(ders) != len(chain):
        raise problem


def _check_rsa(key: Mapping[str, Any], name: str) -> None:
    modulus = key.get("n")
    size = len(modulus) * 3 // 4 if isinstance(modulus, str) else 0
    if not SMALLEST_RSA_BYTES <= size <= LARGEST_RSA_BYTES:
        raise KeysUnusable(
            f"{name} is an RSA key of other than {SMALLEST_RSA_BYTES * 8} to {LARGEST_RSA_BYTES * 8} bits"
        )
    # A small exponent makes forging easy in careless verifiers, a large one makes each verification slow.
    if key.get("e") != "AQAB":
        raise KeysUnusable(f"{name} has another exponent than 65537 (AQAB)")


def _members_of(document: object) -> list[Mapping[str, Any]]:
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list) or not all(isinstance(key, Mapping) for key in keys):
        raise KeysUnusable('A JWK set is an object with a member "keys" that is a list of keys (RFC 7517, section 5)')
    if len(keys) > MOST_KEYS:
        raise KeysUnusable(f"There are more than {MOST_KEYS} keys: leave out those that sign no more")
    return keys


def _unmistakable(keys: list[Mapping[str, Any]]) -> tuple[Jwk, ...]:
    if not keys:
        raise KeysUnusable(f"There is no key that can be used. {_KINDS}")
    named = [key["kid"] for key in keys]
    if len(set(named)) != len(named):
        raise KeysUnusable("Two keys have the same kid")
    return tuple({name: key[name] for name in KEPT_MEMBERS if name in key} for key in keys)


def _is_usable(key: Mapping[str, Any]) -> bool:
    try:
        check_key(key)
    except KeysUnusable:
        return False
    return True


def _name_of(key: Mapping[str, Any]) -> str:
    kid = key.get("kid")
    shown = isinstance(kid, str) and 0 < len(kid) <= 60 and kid.isprintable() and kid.isascii()  # noqa: PLR2004 - a line
    return f"The key {kid}" if shown else "A key"
