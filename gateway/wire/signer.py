"""The only thing that may sign. A hardware module satisfies `Signer` as well as a key in memory does."""

from typing import Protocol, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.wire.errors import UnusableKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_COORDINATE_BYTES = 32  # P-256
_RSA_BITS = 3072


class Signer(Protocol):
    """A private key that signs without being seen."""

    @property
    def key_id(self) -> str:
        """The `kid` of its public key."""
        ...

    @property
    def algorithm(self) -> str:
        """Its JOSE algorithm: `ES256`, `PS256` or `Ed25519`."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the raw JOSE signature of `message` (ES256: 64-byte r‖s, RFC 7518 §3.4)."""
        ...

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK with `kid`, `alg` and `use` (RFC 7517)."""
        ...


class PrivateKeySigner:
    """A `Signer` over a private key held in memory."""

    def __init__(self, private_key: PrivateKey, *, key_id: str | None = None) -> None:
        """Take a P-256, RSA or Ed25519 key; `key_id` defaults to its RFC 7638 thumbprint."""
        self._private_key = private_key
        self.algorithm = _algorithm_of(private_key)
        self._public = _public_jwk(private_key)
        self.key_id = key_id or self._public["kid"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id!r}, algorithm={self.algorithm!r})"

    @classmethod
    def from_pem(cls, pem: bytes, *, key_id: str | None = None) -> Self:
        """Load an unencrypted PEM private key; raises `UnusableKey` for any other bytes or kind of key."""
        try:
            private_key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise UnusableKey("this is not an unencrypted PEM private key") from error
        if not isinstance(private_key, PrivateKey):
            raise UnusableKey("only P-256, RSA and Ed25519 keys can sign")
        return cls(private_key, key_id=key_id)

    @classmethod
    def generate(cls, algorithm: str, *, key_id: str | None = None) -> Self:
        """Make a new key for `ES256`, `PS256` (3072 bits) or `Ed25519`."""
        if algorithm == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()), key_id=key_id)
        if algorithm == "PS256":
            return cls(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS), key_id=key_id)
        if algorithm == "Ed25519":
            return cls(ed25519.Ed25519PrivateKey.generate(), key_id=key_id)
        raise UnusableKey("keys are made for ES256, PS256 or Ed25519")

    def sign(self, message: bytes) -> bytes:
        """Return the raw JOSE signature of `message`."""
        key = self._private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        if isinstance(key, rsa.RSAPrivateKey):
            # RFC 7518 §3.5: the salt is as long as the hash.
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
            return key.sign(message, pss, hashes.SHA256())
        return key.sign(message)

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK with `kid`, `alg` and `use`."""
        return {**self._public, "kid": self.key_id}

    def private_pem(self) -> bytes:
        """Return the private key as unencrypted PKCS#8 PEM: whoever holds these bytes can sign."""
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _algorithm_of(private_key: PrivateKey) -> str:
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        return "Ed25519"
    if isinstance(private_key, rsa.RSAPrivateKey):
        if private_key.key_size < 2048:  # noqa: PLR2004 - RFC 7518 §3.5
            raise UnusableKey("RSA keys must have at least 2048 bits")
        return "PS256"
    if isinstance(private_key.curve, ec.SECP256R1):
        return "ES256"
    raise UnusableKey("the only elliptic curve accepted for ECDSA is P-256")


def _public_jwk(private_key: PrivateKey) -> dict[str, str]:
    key: ECKey | RSAKey | OKPKey
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        key = ECKey.import_key(private_key.public_key())
    elif isinstance(private_key, rsa.RSAPrivateKey):
        key = RSAKey.import_key(private_key.public_key())
    else:
        key = OKPKey.import_key(private_key.public_key())
    members = {name: str(value) for name, value in key.as_dict(private=False).items()}
    return {**members, "kid": key.thumbprint(), "alg": _algorithm_of(private_key), "use": "sig"}
