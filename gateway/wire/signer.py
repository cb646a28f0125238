"""The only thing that may sign. A hardware module satisfies `Signer` as well as a key in memory does."""

from typing import Protocol, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.wire.errors import UnusableKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_COORDINATE_BYTES = 32  # P-256
_RSA_ALGORITHMS = ("PS256", "RS256")
RSA_BITS = 3072


class Signer(Protocol):
    """A private key that signs without being seen."""

    @property
    def key_id(self) -> str:
        """The `kid` of its public key."""
        ...

    @property
    def algorithm(self) -> str:
        """Its JOSE algorithm: `ES256`, `PS256`, `RS256` or `Ed25519`."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the raw JOSE signature of `message` (ES256: 64-byte r‖s, RFC 7518 §3.4)."""
        ...

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK with `kid`, `alg` and `use` (RFC 7517)."""
        ...


class PrivateKeySigner:
    """A `Signer` over a private key held in memory."""

    def __init__(self, private_key: PrivateKey, *, key_id: str | None = None, algorithm: str | None = None) -> None:
        """Take a P-256, RSA or Ed25519 key; `key_id` defaults to its RFC 7638 thumbprint.

        An RSA key signs `PS256`, or `RS256` when `algorithm` says so, and never both (RFC 8725 §3.1). Raises
        `UnusableKey` when the key is not made for `algorithm`.
        """
        self._private_key = private_key
        self.algorithm = _algorithm_of(private_key.public_key(), algorithm)
        self._public = jwk_of(private_key.public_key(), algorithm=self.algorithm)
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
        """Make a new key for `ES256`, `PS256` or `RS256` (3072 bits), or `Ed25519`."""
        if algorithm == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()), key_id=key_id)
        if algorithm in _RSA_ALGORITHMS:
            private_key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
            return cls(private_key, key_id=key_id, algorithm=algorithm)
        if algorithm == "Ed25519":
            return cls(ed25519.Ed25519PrivateKey.generate(), key_id=key_id)
        raise UnusableKey("keys are made for ES256, PS256, RS256 or Ed25519")

    def sign(self, message: bytes) -> bytes:
        """Return the raw JOSE signature of `message`."""
        key = self._private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        if isinstance(key, rsa.RSAPrivateKey) and self.algorithm == "RS256":
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        if isinstance(key, rsa.RSAPrivateKey):
            # RFC 7518 §3.5: the salt is as long as the hash.
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
            return key.sign(message, pss, hashes.SHA256())
        return key.sign(message)

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK with `kid`, `alg` and `use`."""
        return {**self._public, "kid": self.key_id}

    def private_pem(self, *, password: bytes | None = None) -> bytes:
        """Return the private key as PKCS#8 PEM: without `password`, whoever holds these bytes can sign."""
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def jwk_of(public_key: PublicKey, *, algorithm: str | None = None) -> dict[str, str]:
    """Return a public key as a JWK with `kid` (its RFC 7638 thumbprint), `alg` and `use`.

    Raises `UnusableKey` when the key is not made for `algorithm`; for an RSA key its default is `PS256`.
    """
    key: ECKey | RSAKey | OKPKey
    named = _algorithm_of(public_key, algorithm)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        key = ECKey.import_key(public_key)
    elif isinstance(public_key, rsa.RSAPublicKey):
        key = RSAKey.import_key(public_key)
    else:
        key = OKPKey.import_key(public_key)
    members = {name: str(value) for name, value in key.as_dict(private=False).items()}
    return {**members, "kid": key.thumbprint(), "alg": named, "use": "sig"}


def _algorithm_of(public_key: PublicKey, wanted: str | None) -> str:
    possible = _algorithms_of(public_key)
    if wanted is not None and wanted not in possible:
        raise UnusableKey(f"this kind of key does not sign {wanted}")
    return wanted or possible[0]


def _algorithms_of(public_key: PublicKey) -> tuple[str, ...]:
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return ("Ed25519",)
    if isinstance(public_key, rsa.RSAPublicKey):
        if public_key.key_size < 2048:  # noqa: PLR2004 - RFC 7518 §3.5
            raise UnusableKey("RSA keys must have at least 2048 bits")
        return _RSA_ALGORITHMS
    if isinstance(public_key.curve, ec.SECP256R1):
        return ("ES256",)
    raise UnusableKey("the only elliptic curve accepted for ECDSA is P-256")
