"""Strict base64 and JSON: one value has one spelling, so nobody can change a byte and keep the meaning."""

import base64
import binascii
import json
import math
from typing import Any, NoReturn

from gateway.wire.errors import MalformedInput


def b64url_encode(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """Read base64url without padding; raises `MalformedInput` unless `text` is the one spelling of its bytes."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedInput("base64url was expected") from error
    # The last character may carry bits that no byte uses; only zero bits are its canonical spelling.
    if b64url_encode(data) != text:
        raise MalformedInput("base64url must be unpadded and canonical")
    return data


def b64_encode(data: bytes) -> str:
    """Return standard padded base64 (RFC 4648 §4), the alphabet of signed notes and proof files."""
    return base64.b64encode(data).decode("ascii")


def b64_decode(text: str) -> bytes:
    """Read standard padded base64; raises `MalformedInput` unless `text` is the one spelling of its bytes."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise MalformedInput("base64 was expected") from error
    if b64_encode(data) != text:
        raise MalformedInput("base64 must be padded and canonical")
    return data


def parse_json(data: bytes | str) -> Any:
    """Read JSON as I-JSON (RFC 7493): UTF-8, no repeated member, no NaN or Infinity; raises `MalformedInput`."""
    try:
        return json.loads(
            data.decode("utf-8") if isinstance(data, bytes) else data,
            object_pairs_hook=_members_once,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise MalformedInput("JSON was expected, without repeated members") from error


def parse_json_object(data: bytes | str) -> dict[str, Any]:
    """Read JSON that must be an object; raises `MalformedInput`."""
    value = parse_json(data)
    if not isinstance(value, dict):
        raise MalformedInput("a JSON object was expected")
    return value


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _finite(text: str) -> float:
    number = float(text)
    # RFC 7493 §2.2: 1e999 is spelled as a number and read as none.
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
