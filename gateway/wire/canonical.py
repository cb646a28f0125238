"""One spelling for one JSON value (RFC 8785), and digests over it."""

import hashlib
from typing import Any

import rfc8785

from gateway.wire.encoding import b64url_encode
from gateway.wire.errors import MalformedInput


def canonical_json(value: Any) -> bytes:
    """Return a JSON value in the JSON Canonicalization Scheme, UTF-8; tuples are arrays.

    Raises `MalformedInput` for what I-JSON cannot hold: other types, NaN, integers beyond 2**53.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise MalformedInput("this value has no canonical JSON form", detail=str(error)) from error


def digest_b64(data: bytes) -> str:
    """Return the SHA-256 of `data` as base64url without padding (43 characters)."""
    return b64url_encode(hashlib.sha256(data).digest())
