"""A request that waits for a sign-in travels in the browser's address, sealed by us: no row for whoever knocks.

The ticket says what was asked and when. It is no secret and grants nothing: whoever opens it gets what they would get
by sending the same request, except that they cannot change the time at which it began.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

from itsdangerous import BadData, URLSafeSerializer

from gateway.oidc.errors import SignInRequestUnusable
from gateway.oidc.parameters import Parameters

CONTINUE_PATH = "/authorize/continue"
LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request and when it arrived."""

    parameters: Parameters
    started_at: datetime


class Tickets:
    """Makes and reads tickets under one secret key (HMAC-SHA-256)."""

    def __init__(self, key: bytes) -> None:
        self._serializer = URLSafeSerializer(
            key, salt="gateway.oidc.ticket", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    def address_of(self, ticket: Ticket) -> str:
        """Return the local path at which the request goes on."""
        content = [ticket.started_at.isoformat(), [list(pair) for pair in ticket.parameters.pairs]]
        return f"{CONTINUE_PATH}?{urlencode({'ticket': self._serializer.dumps(content)})}"

    def read(self, ticket: str, *, now: datetime) -> Ticket:
        """Return what a ticket holds; raises `SignInRequestUnusable` when it is not ours or too old."""
        try:
            started_at, pairs = self._serializer.loads(ticket)
        except BadData as error:
            raise SignInRequestUnusable("This sign-in was not begun here") from error
        began = datetime.fromisoformat(started_at)
        if now - began > LIFETIME:
            raise SignInRequestUnusable("This sign-in was begun too long ago")
        return Ticket(parameters=Parameters(pairs=tuple((name, value) for name, value in pairs)), started_at=began)

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
