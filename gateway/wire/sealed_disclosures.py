"""Disclosures that only their recipient can read: each a JWE (RFC 7516) of its own, labelled with field and digest.

The issuer's JWT stays in the clear, and holds the digest of every disclosure (RFC 9901 §4.2.3). So whoever stands
between can verify the signature, see which field each part is, and drop parts, without reading any. The label is
believed by nobody: its digest must be among the issuer's, and the recipient compares both with what was inside.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from gateway.wire.canonical import digest_b64
from gateway.wire.encoding import b64url_decode, parse_json_object
from gateway.wire.errors import InvalidEncryption, MalformedInput, UnusableKey
from gateway.wire.keys import Jwk, thumbprint

SEALED_TYP = "gateway-disclosure+jwe"
KEY_ALGORITHMS = ("ECDH-ES+A256KW", "ECDH-ES")
CONTENT_ALGORITHM = "A256GCM"

# RFC 7518 §6.2.2 and §6.4.1, RFC 8037 §2: what a public key does not have.
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_CURVES = (("EC", "P-256"), ("OKP", "X25519"))
_PARTS = 5  # RFC 7516 §3.1
_PUBLIC_MEMBERS = ("kty", "crv", "x", "y")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SealedDisclosure:
    """One encrypted disclosure: the field it is said to be, its base64url SHA-256, and the compact JWE."""

    field: str
    digest: str
    jwe: str = dataclasses.field(repr=False)


class DecryptionKey:
    """A consumer's private key for reading disclosures, held in memory."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> None:
        self._key: ECKey | OKPKey
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            self._key = ECKey.import_key(private_key)
        else:
            self._key = OKPKey.import_key(private_key)
        check_encryption_key(self.public_jwk())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.thumbprint})"

    @classmethod
    def generate(cls) -> Self:
        """Make a new key on P-256."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Load an unencrypted PEM private key on P-256 or X25519; raises `UnusableKey` for any other."""
        try:
            private_key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise UnusableKey("this is not an unencrypted PEM private key") from error
        if not isinstance(private_key, ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey):
            raise UnusableKey("only keys on P-256 and X25519 can decrypt")
        return cls(private_key)

    @property
    def thumbprint(self) -> str:
        """The RFC 7638 thumbprint, which agreements name."""
        return self._key.thumbprint()

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as it is registered: a JWK with `kid` (its thumbprint), `alg` and `use`."""
        members = {name: str(value) for name, value in self._key.as_dict(private=False).items()}
        return {**members, "kid": self._key.thumbprint(), "alg": KEY_ALGORITHMS[0], "use": "enc"}

    def private_pem(self) -> bytes:
        """Return the private key as PKCS#8 PEM: whoever holds these bytes can read what was meant for it."""
        return self._key.as_pem(private=True)

    def open(self, token: str) -> bytes:
        """Return what a JWE holds; raises `InvalidEncryption`."""
        try:
            opened = jwe.decrypt_compact(token, self._key, algorithms=[*KEY_ALGORITHMS, CONTENT_ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError):
            raise InvalidEncryption("it cannot be decrypted with this key") from None
        if opened.plaintext is None:
            raise InvalidEncryption("there is nothing in it")
        return opened.plaintext


def check_encryption_key(jwk: Jwk) -> str:
    """Return the thumbprint of a public key to which may be encrypted; raises `UnusableKey` for any other."""
    if any(member in jwk for member in _PRIVATE_MEMBERS):
        raise UnusableKey("this is a private key")
    # RFC 7517 §4.2: a key made for signatures is never encrypted to.
    if jwk.get("use") != "enc":
        raise UnusableKey('a key for encryption has the use "enc"')
    if (jwk.get("kty"), jwk.get("crv")) not in _CURVES:
        raise UnusableKey("keys for encryption are on P-256 or X25519")
    if jwk.get("alg") not in KEY_ALGORITHMS:
        raise UnusableKey(f"a key for encryption has the alg {' or '.join(KEY_ALGORITHMS)}")
    return thumbprint(jwk)


def seal_disclosures(disclosures: Mapping[str, str], *, to: Jwk) -> tuple[SealedDisclosure, ...]:
    """Return each encoded disclosure (by field) encrypted to a public key; raises `UnusableKey`."""
    key_id = check_encryption_key(to)
    header = {"alg": str(to["alg"]), "enc": CONTENT_ALGORITHM, "kid": key_id, "typ": SEALED_TYP}
    public = {name: to[name] for name in _PUBLIC_MEMBERS if name in to}
    key: ECKey | OKPKey = (ECKey if to["kty"] == "EC" else OKPKey).import_key(public)
    return tuple(
        SealedDisclosure(
            field=name,
            digest=digest_b64(disclosure.encode("ascii")),
            # A header of its own for each: the library adds the ephemeral key to it.
            jwe=jwe.encrypt_compact(
                dict(header), disclosure.encode("ascii"), key, algorithms=[*KEY_ALGORITHMS, CONTENT_ALGORITHM]
            ),
        )
        for name, disclosure in disclosures.items()
    )


def read_sealed(unverified: object) -> tuple[SealedDisclosure, ...]:
    """Return the members of a list of `{field, digest, jwe}`, which nothing vouches for; raises `InvalidEncryption`."""
    if not isinstance(unverified, list):
        raise InvalidEncryption("there is no list of encrypted disclosures")
    read = []
    for item in unverified:
        texts = [item.get(name) for name in ("field", "digest", "jwe")] if isinstance(item, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise InvalidEncryption("an encrypted disclosure has field, digest and jwe")
        name, digest, token = texts
        read.append(SealedDisclosure(field=str(name), digest=str(digest), jwe=str(token)))
    if len({part.field for part in read}) != len(read) or len({part.digest for part in read}) != len(read):
        raise InvalidEncryption("a field or a digest is there twice")
    return tuple(read)


def check_labels(parts: Sequence[SealedDisclosure], *, digests: frozenset[str], to: str) -> None:
    """Refuse what the issuer did not sign for, or what is not said to be for the key with thumbprint `to`.

    This is all that can be seen from outside. Raises `InvalidEncryption`.
    """
    for part in parts:
        if part.digest not in digests:
            raise InvalidEncryption("an encrypted disclosure is not covered by the issuer's signature")
        header = _header(part.jwe)
        expected = {"enc": CONTENT_ALGORITHM, "kid": to, "typ": SEALED_TYP}
        agreed = header.get("alg") in KEY_ALGORITHMS and all(
            header.get(name) == text for name, text in expected.items()
        )
        # RFC 8725 §3.6: what is compressed first tells of itself by its length.
        if not agreed or header.get("alg") not in KEY_ALGORITHMS or "zip" in header or "crit" in header:
            raise InvalidEncryption("a disclosure is not encrypted as agreed, or to another key")


def open_disclosures(
    parts: Sequence[SealedDisclosure], *, digests: frozenset[str], keys: Sequence[DecryptionKey]
) -> tuple[str, ...]:
    """Return the encoded disclosures, each compared with its label; raises `InvalidEncryption`, `UnusableKey`."""
    if not parts:
        return ()
    named = _header(parts[0].jwe).get("kid")
    key = next((key for key in keys if key.thumbprint == named), None)
    if key is None:
        raise UnusableKey("the answer is encrypted to a key that is not at hand")
    check_labels(parts, digests=digests, to=key.thumbprint)
    return tuple(_opened(part, key) for part in parts)


def as_json(parts: Sequence[SealedDisclosure]) -> list[dict[str, str]]:
    """Return the parts as they travel."""
    return [{"field": part.field, "digest": part.digest, "jwe": part.jwe} for part in parts]


def _opened(part: SealedDisclosure, key: DecryptionKey) -> str:
    content = key.open(part.jwe)
    if digest_b64(content) != part.digest:
        raise InvalidEncryption("a label names another disclosure than is inside")
    disclosure = content.decode("ascii", errors="replace")
    try:
        stated: Any = json.loads(b64url_decode(disclosure))[1]
    except (MalformedInput, ValueError, IndexError, KeyError, TypeError):
        raise InvalidEncryption("an encrypted part is not a disclosure") from None
    if stated != part.field:
        raise InvalidEncryption("a label names another field than is inside")
    return disclosure


def _header(token: str) -> dict[str, Any]:
    parts = token.split(".")
    try:
        if len(parts) == _PARTS:
            return parse_json_object(b64url_decode(parts[0]))
    except MalformedInput:
        pass
    raise InvalidEncryption("a part is not a compact JWE")
