"""The names people have inside the gateway: keyed hashes, so that no row or event names a person by what others know.

A reference never leaves the gateway. The log's details about a person are encrypted under the key of their reference.
"""

import hmac
from collections.abc import Mapping
from uuid import UUID

from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import b64url_encode


class SubjectReferences:
    """Makes references under one secret key."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit key."""
        self._key = key

    def reference_of_account(self, account_id: UUID) -> str:
        """Return the reference of a person with an account (43 characters)."""
        return self._reference("account", str(account_id).encode())

    def reference_of_attributes(self, attributes: Mapping[str, object]) -> str:
        """Return the reference of a person known only by attributes, the same for the same attributes in any order.

        The attributes must be normalised by whoever asks; raises `MalformedInput` for what JSON cannot hold.
        """
        return self._reference("attributes", canonical_json(dict(attributes)))

    def session_reference(self, session_id: UUID, *, client_id: str) -> str:
        """Return the `sid` by which one client knows one session: no two clients get the same (OIDC §2, sid)."""
        return self._reference("sid", f"{client_id}\x00{session_id}".encode())

    def _reference(self, kind: str, value: bytes) -> str:
        return b64url_encode(hmac.digest(self._key, kind.encode() + b"\x00" + value, "sha256"))
