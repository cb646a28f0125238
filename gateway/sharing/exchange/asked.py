"""One authenticated request as the door understood it, and what becomes of one that is turned away."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from gateway.audit.append import Event
from gateway.directory.members import Jwk
from gateway.errors import GatewayError
from gateway.identity.caller import Caller
from gateway.once.once import first_use
from gateway.sharing.exchange.limits.quotas import Standing
from gateway.sharing.exchange.schemas import RecordRequest

NONCE_KEPT = timedelta(minutes=2)  # a signature is accepted for 60 s from `created`, which may be 5 s ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One authenticated request, as the door understood it."""

    caller: Caller
    request: RecordRequest
    request_digest: str
    idempotency_key: str
    target: str
    key_id: str
    key_thumbprint: str
    """RFC 7638, of the key that signed the request."""
    nonce: str
    leaves_at: float
    """On `time.monotonic`'s scale: when an answer leaves that must not tell why there is no record."""
    standings: list[Standing] = field(default_factory=list)
    """How the quotas stand that were spent on it, for its answer to tell; added to while it is answered."""

    @property
    def signed_with(self) -> Jwk | None:
        """The client's key that signed the request."""
        return self.caller.client.key(self.key_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """The request did not become an exchange, or its exchange cannot be answered now; already accounted for."""

    error: GatewayError


def claim_nonce(session: Session, caller: Caller, *, key_id: str, nonce: str, now: datetime) -> bool:
    """Use up a signature's nonce; tells whether this is its first use."""
    owner = f"{caller.client.client_id}#{key_id}"
    return first_use(session, kind="exchange-nonce", owner=owner, value=nonce, expires_at=now + NONCE_KEPT)


def rejection(caller: Caller, error: GatewayError) -> Event:
    """Return the event of an authenticated request that is turned away."""
    officer = caller.officer
    return Event(
        name="sharing.request.rejected",
        outcome="refused",
        members=(caller.member_code,),
        details={
            "client": caller.client.client_id,
            "officer": str(officer.account_id) if officer else None,
            "code": error.code,
        },
    )
