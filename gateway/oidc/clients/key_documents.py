"""Keys in the files that developers have: a JWK, a JWK set, or PEM."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.errors import GatewayError
from gateway.oidc.clients.key_rules import KeysUnusable
from gateway.wire.encoding import b64_encode, parse_json_object
from gateway.wire.keys import Jwk
from gateway.wire.signer import PrivateKeySigner, PublicKey, jwk_of

_WHAT = "A file of keys holds a JWK, a JWK set, a public key in PEM, or a certificate in PEM"


def read_public_keys(content: bytes) -> tuple[Jwk, ...]:
    """Return the keys in a file's content, not yet judged; raises `KeysUnusable`.

    A key in PEM is named by its RFC 7638 thumbprint. Of a certificate, the key and the certificate itself are taken.
    """
    if b"-----BEGIN" in content:
        return (_from_pem(content),)
    try:
        document: dict[str, Any] = parse_json_object(content)
    except GatewayError as error:
        raise KeysUnusable(_WHAT) from error
    keys = document.get("keys", [document])
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeysUnusable(_WHAT)
    return tuple(keys)


def private_content(path: Path, signer: PrivateKeySigner) -> bytes:
    """Return a private key as the name of its file asks: a JWK for `.json`, otherwise PEM."""
    if path.suffix != ".json":
        return signer.private_pem()
    pem = signer.private_pem()
    key_types: dict[str, type[ECKey | RSAKey | OKPKey]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
    key_type = key_types[signer.public_jwk()["kty"]]
    members = key_type.import_key(pem).as_dict(private=True)
    return json.dumps({**members, **signer.public_jwk()}, indent=2).encode()


def _from_pem(content: bytes) -> Jwk:
    if b"PRIVATE KEY" in content:
        raise KeysUnusable("This file holds a private key: keep it, and give its public half (openssl pkey -pubout)")
    try:
        if b"BEGIN CERTIFICATE" not in content:
            return jwk_of(_accepted(load_pem_public_key(content)))
        certificate = load_pem_x509_certificate(content)
    except (ValueError, GatewayError) as error:
        raise KeysUnusable(_WHAT) from error
    key: dict[str, Any] = dict(jwk_of(_accepted(certificate.public_key())))
    key["x5c"] = [b64_encode(certificate.public_bytes(Encoding.DER))]
    return key


def _accepted(key: object) -> PublicKey:
    if not isinstance(key, PublicKey):
        raise KeysUnusable("Accepted are keys on P-256, RSA keys and Ed25519 keys")
    return key
