"""One spelling for one JSON value (RFC 8785), and digests over it."""

import hashlib
import json
from typing import Any

import rfc8785

from gateway.wire.encoding import b64url_encode
from gateway.wire.errors import MalformedInput

# For the values that `_is_ordinary` lets through, the standard encoder writes what RFC 8785 asks for, and many times
# faster: it escapes the same characters alike, and ASCII names are in the same order by code point as in UTF-16.
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, sort_keys=True, separators=(",", ":"))
_LARGEST = 2**53 - 1


def canonical_json(value: Any) -> bytes:
    """Return a JSON value in the JSON Canonicalization Scheme, UTF-8; tuples are arrays.

    Raises `MalformedInput` for what I-JSON cannot hold: other types, NaN, integers beyond 2**53.
    """
    try:
        if _is_ordinary(value):
            return _ENCODER.encode(value).encode()
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise MalformedInput("this value has no canonical JSON form", detail=str(error)) from error


def _is_ordinary(value: Any) -> bool:
    """Whether the value holds texts, small integers, booleans, nulls, arrays, and objects with ASCII names alone."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_LARGEST <= value <= _LARGEST)
    if kind is dict:
        return all(type(name) is str and name.isascii() and _is_ordinary(item) for name, item in value.items())
    if kind is list or kind is tuple:
        return all(map(_is_ordinary, value))
    return False


def digest_b64(data: bytes) -> str:
    """Return the SHA-256 of `data` as base64url without padding (43 characters)."""
    return b64url_encode(hashlib.sha256(data).digest())
