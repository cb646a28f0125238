"""Who is calling, for whom, and how strongly they signed in: what every guarded door is given.

`sharing` and `oidc` never see each other; both know this.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from gateway.directory.members import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What one request shows to be let in. Nothing of it is believed yet."""

    method: str
    endpoint: str
    """The configured address of what was called, without query or fragment: what a DPoP proof's `htu` must name."""
    authorization: tuple[str, ...] = field(default=(), repr=False)
    """Every `Authorization` header."""
    dpop: tuple[str, ...] = field(default=(), repr=False)
    """Every `DPoP` header (RFC 9449 §4.1)."""
    certificate: bytes | None = field(default=None, repr=False)
    """The client's certificate (DER) that the TLS layer verified the possession of (RFC 8705)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingOfficer:
    """The member of staff on whose behalf a client calls."""

    account_id: UUID
    sub: str
    """The officer's pairwise subject in the client's sector."""
    member_code: str
    roles: tuple[str, ...]
    acr: str
    """How strongly the officer signed in: `AAL1`, `AAL2` or `AAL3`."""
    auth_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated client, and the officer it acts for, if any."""

    client: Client
    officer: ActingOfficer | None
    scopes: frozenset[str]
    token_id: str
    """The access token's `jti`."""
    expires_at: datetime

    @property
    def member_code(self) -> str:
        """The member whose system is calling."""
        return self.client.member_code


CallerFromRequest: TypeAlias = Callable[[Presented, datetime], Caller]
"""Turns what a request shows into a `Caller`, or raises an UNAUTHENTICATED `GatewayError`.

What may be shown only once is used up by it, so it is called outside any transaction.
"""
