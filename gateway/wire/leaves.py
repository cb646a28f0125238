"""What the public log says about one event: what happened, when, between which members, and a commitment to the rest.

Nothing in a leaf, nor its hash, can be guessed back to a person: details stand behind a salted commitment, and
destroying salt and details leaves every proof valid. Signed shapes only grow.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import b64url_encode, parse_json_object
from gateway.wire.errors import InvalidTree, MalformedInput
from gateway.wire.tiles import MAX_ENTRY_BYTES

LEAF_VERSION = 1
MIN_SALT_BYTES = 16


# Field order is the order of the design; members are only ever added, at the end.
@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One entry of the log.

    `event` is past tense and dotted (`sharing.record.disclosed`); `at` is RFC 3339 UTC with `Z`; `members` are member
    codes; `outcome` and `reference` are None where the event has none. The `reference` of an exchange's entry is the
    exchange id. `commitment` is base64url SHA-256, as made by `commitment`.
    """

    version: int = LEAF_VERSION
    event_id: str
    event: str
    at: str
    members: tuple[str, ...]
    outcome: str | None
    reference: str | None
    commitment: str

    def encode(self) -> bytes:
        """Return the leaf as RFC 8785 canonical JSON: the entry of the log.

        Raises `InvalidTree` for a leaf no reader would accept, or one longer than an entry may be.
        """
        # Field by field: `asdict` would copy every value, and an entry of our own need not be parsed to be checked.
        members = {name: getattr(self, name) for name in _NAMES}
        _check_shape(members)
        entry = canonical_json(members)
        _check_length(entry)
        return entry


_NAMES = tuple(field.name for field in fields(Leaf))


def parse_leaf(entry: bytes) -> Leaf:
    """Read an entry; members added by later versions are tolerated and left out. Raises `InvalidTree`."""
    _check_length(entry)
    try:
        members = parse_json_object(entry)
        canonical = canonical_json(members) == entry
    except MalformedInput as error:
        raise InvalidTree("the entry is not a JSON object") from error
    if not canonical:
        raise InvalidTree("the entry is not canonical JSON (RFC 8785)")
    _check_shape(members)
    known = {name: members[name] for name in _NAMES}
    return Leaf(**{**known, "members": tuple(members["members"])})


def commitment(salt: bytes, details: Mapping[str, Any]) -> str:
    """Return SHA-256(salt ‖ canonical JSON of details), base64url; raises `InvalidTree` for a salt under 16 bytes."""
    return commitment_to_json(salt, canonical_json(details))


def commitment_to_json(salt: bytes, canonical: bytes) -> str:
    """As `commitment`, for details that are canonical JSON (RFC 8785) already."""
    if len(salt) < MIN_SALT_BYTES:
        raise InvalidTree("a commitment needs at least 128 bits of salt")
    return b64url_encode(hashlib.sha256(salt + canonical).digest())


def _check_length(entry: bytes) -> None:
    if len(entry) > MAX_ENTRY_BYTES:
        raise InvalidTree("an entry is longer than 65,535 bytes")


def _check_shape(members: Mapping[str, Any]) -> None:
    version, parties = members.get("version"), members.get("members")
    if not isinstance(version, int) or isinstance(version, bool) or version < LEAF_VERSION:
        raise InvalidTree("version is not what a leaf holds")
    for name in ("event_id", "event", "at", "commitment"):
        if not isinstance(members.get(name), str):
            raise InvalidTree(f"{name} is not what a leaf holds")
    for name in ("outcome", "reference"):
        value = members.get(name, 0)
        if value is not None and not isinstance(value, str):
            raise InvalidTree(f"{name} is not what a leaf holds")
    if not isinstance(parties, list | tuple) or not all(isinstance(party, str) for party in parties):
        raise InvalidTree("members is not what a leaf holds")
