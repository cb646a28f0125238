"""A request that waits for a person travels in the browser's address, sealed by us: no row for whoever knocks.

The ticket says what was asked, when, and how far it has come. It grants nothing: whoever opens it gets what they would
get by sending the same request, except that they cannot change what we noted. It is encrypted, because what relying
parties send (`login_hint`) can name a person, and addresses are kept in histories and logs.
"""

import json
import os
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.oidc.authorization.person import Progress
from gateway.oidc.errors import AuthorizationRefused, SignInRequestUnusable
from gateway.oidc.parameters import Parameters
from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.errors import MalformedInput

CONTINUE_PATH = "/authorize/continue"
LIFETIME = timedelta(hours=1)
NONCE_BYTES = 12
# With the address of a sign-in page around it, this is still a request line that every server takes (8,190 bytes).
LONGEST_ADDRESS = 7900


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request as it was sent, and how far it has come."""

    parameters: Parameters
    progress: Progress


class Tickets:
    """Seals and opens tickets under one secret key (AES-256-GCM)."""

    def __init__(self, key: bytes) -> None:
        """Take a 256-bit key."""
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"gateway.oidc.ticket").derive(key)
        self._cipher = AESGCM(derived)

    def address_of(self, ticket: Ticket) -> str:
        """Return the local path at which the request goes on.

        Raises `AuthorizationRefused` for a request that fits into no address; one that is pushed always does.
        """
        progress = ticket.progress
        content: list[Any] = [
            progress.started_at.isoformat(),
            progress.another_since.isoformat() if progress.another_since else None,
            str(progress.account) if progress.account else None,
            [list(pair) for pair in ticket.parameters.pairs],
        ]
        nonce = os.urandom(NONCE_BYTES)
        packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode("utf-8"), level=9)
        sealed = b64url_encode(nonce + self._cipher.encrypt(nonce, packed, None))
        address = f"{CONTINUE_PATH}?{urlencode({'ticket': sealed})}"
        if len(address) > LONGEST_ADDRESS:
            raise AuthorizationRefused("invalid_request", "The request is too long; push it instead (RFC 9126)")
        return address

    def read(self, ticket: str, *, now: datetime) -> Ticket:
        """Return what a ticket holds; raises `SignInRequestUnusable` when it is not ours or too old."""
        try:
            sealed = b64url_decode(ticket)
            opened = self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except (MalformedInput, InvalidTag, ValueError) as error:
            raise SignInRequestUnusable("This sign-in was not begun here") from error
        # Sealed by us: what is inside is as we wrote it.
        started_at, another_since, account, pairs = json.loads(zlib.decompress(opened))
        progress = Progress(
            started_at=datetime.fromisoformat(started_at),
            another_since=datetime.fromisoformat(another_since) if another_since else None,
            account=UUID(account) if account else None,
        )
        if now - progress.started_at > LIFETIME:
            raise SignInRequestUnusable("This sign-in was begun too long ago")
        return Ticket(parameters=Parameters(pairs=tuple((name, value) for name, value in pairs)), progress=progress)

    def read_address(self, path: str, *, now: datetime) -> Ticket | None:
        """Return the ticket in a local path made by `address_of`; None for any other path."""
        parts = urlsplit(path)
        tickets = parse_qs(parts.query).get("ticket", [])
        if parts.path != CONTINUE_PATH or len(tickets) != 1:
            return None
        try:
            return self.read(tickets[0], now=now)
        except SignInRequestUnusable:
            return None
