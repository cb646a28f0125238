"""Fields whose value is a document: the record names it, and it is fetched by itself.

In a service's schema such a field says `x-attachment: [application/pdf, …]` and what it means, no more. Its value in a
record is `{"digest": <base64url SHA-256>, "size": <bytes>, "type": <media type>}`, and this gives it its schema.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.wire.encoding import b64url_encode

MARK = "x-attachment"
DIGEST = r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"
"""32 bytes, base64url without padding: the last character has two bits that no byte uses, and they are zero."""
_BESIDE = {MARK, "description", "title"}
# RFC 6838 §4.2, without parameters: what is compared must have one spelling.
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")


def value_of(digest: bytes, *, size: int, media_type: str) -> dict[str, Any]:
    """Return the value that a record has for a document of this SHA-256 (32 bytes) and so many bytes."""
    return {"digest": b64url_encode(digest), "size": size, "type": media_type}


def attachment_fields(schema: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Return the fields of a service's schema that are attachments, each with the media types it may have."""
    described = schema["properties"].items()
    return {name: tuple(field[MARK]) for name, field in described if isinstance(field, Mapping) and MARK in field}


def schema_of_values(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema that a record's values are held against: a service's own, with its attachments described."""
    types = attachment_fields(schema)
    if not types:
        return schema
    properties = {
        name: {**field, **_schema_of_value(types[name])} if name in types else field
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def problem_in_attachments(schema: Mapping[str, Any]) -> str | None:
    """Say which field is an attachment that cannot be one, or None."""
    for name, field in schema["properties"].items():
        types = field.get(MARK) if isinstance(field, Mapping) else None
        if types is None:
            continue
        if not isinstance(types, list) or not types or not all(_is_media_type(one) for one in types):
            return f"{name}: {MARK} is a list of media types, in lower case and without parameters"
        if not set(field) <= _BESIDE:
            return f"{name}: an attachment has a description and a title; what its value is, the gateway says"
    return None


def _is_media_type(value: object) -> bool:
    return isinstance(value, str) and _MEDIA_TYPE.fullmatch(value) is not None


def _schema_of_value(types: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["digest", "size", "type"],
        "properties": {
            # The length once more: to some, a pattern's end is also before a last line feed.
            "digest": {"type": "string", "pattern": DIGEST, "maxLength": 43},
            "size": {"type": "integer", "minimum": 0},
            "type": {"enum": list(types)},
        },
    }
