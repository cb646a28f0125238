"""Who and what the worked example of docs/wire-protocol.md is made from: names, a fixed time, keys, ids, message files.

The keys are the SHA-256 of a text printed here: whoever reads this file has them, and nobody may trust them.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.wire.encoding import b64url_encode
from gateway.wire.http_messages import HttpRequest, HttpResponse
from gateway.wire.signature_base import parse_signature_fields, signature_base
from gateway.wire.signer import PrivateKey, PrivateKeySigner

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
ISSUER = "https://gateway.example"
RESOURCE = f"{ISSUER}/sharing/v1"
ORIGIN = "gateway.example/log"
CONSUMER, PROVIDER, CLIENT = "E06000008", "dwp", "blackburn-portal"
CALLBACK = "https://portal.blackburn.example/callback"
ASKED_FIELDS = ["eligible", "tier"]
# What the department sends; the last was not asked for, and is dropped on the way.
SENT_FIELDS: Mapping[str, Any] = {"eligible": True, "tier": "targeted", "award_amount": 54210}


class RepeatableSigner(PrivateKeySigner):
    """ES256 whose nonces come from the message (RFC 6979), so that the same input gives the same bytes."""

    def sign(self, message: bytes) -> bytes:
        """Return the raw JOSE signature of `message`."""
        key = self._private_key
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return super().sign(message)
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def pseudo_random(label: str, length: int = 32) -> bytes:
    """Bytes that stand for random ones. Real ones come from the system."""
    return hashlib.sha256(f"EXAMPLE ONLY, NEVER TRUST: {label}".encode()).digest()[:length]


def example_key(label: str, *, curve: str = "P-256") -> RepeatableSigner:
    """An example key: everybody can compute its private part."""
    secret = pseudo_random(f"key {label}")
    key: PrivateKey
    if curve == "P-256":
        key = ec.derive_private_key(int.from_bytes(secret, "big") >> 1, ec.SECP256R1())
    else:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(secret)
    return RepeatableSigner(key)


def example_id(label: str) -> UUID:
    """A UUIDv7 of the fixed time."""
    number = int(NOW.timestamp() * 1000) << 80 | int.from_bytes(pseudo_random(f"id {label}", 10), "big")
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


TOKENS, GATEWAY, LOG = example_key("tokens"), example_key("exchange"), example_key("log", curve="Ed25519")
PORTAL, DEPARTMENT = example_key("portal"), example_key("department")
SUB = b64url_encode(pseudo_random("the citizen at the council"))
OFFICER = b64url_encode(pseudo_random("the officer at the council"))


def http_file(first_line: str, message: HttpRequest | HttpResponse, host: str | None = None) -> bytes:
    """A message as a file: its lines end in LF here (CRLF on the wire), and one LF follows the body."""
    fields = {"Host": host} if host else {}
    fields |= {**message.headers, "Content-Length": str(len(message.body))}
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"{first_line}\n{head}\n".encode() + message.body + b"\n"


def request_file(request: HttpRequest) -> bytes:
    """A request as a file."""
    host, _, path = request.target_uri.removeprefix("https://").partition("/")
    return http_file(f"{request.method} /{path} HTTP/1.1", request, host)


def response_file(response: HttpResponse, phrase: str) -> bytes:
    """A response as a file."""
    return http_file(f"HTTP/1.1 {response.status} {phrase}", response)


def compact(value: object) -> bytes:
    """JSON as a body carries it."""
    return json.dumps(value).encode()


def pretty(value: object) -> bytes:
    """JSON for people."""
    return (json.dumps(value, indent=2) + "\n").encode()


def base_file(message: HttpRequest | HttpResponse, request: HttpRequest | None = None) -> bytes:
    """The signature base of a signed message, with one LF behind it that is not part of it."""
    fields = parse_signature_fields(message.headers)
    return signature_base(fields.covered, fields.serialized, message, request) + b"\n"
