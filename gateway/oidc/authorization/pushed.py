"""Requests that clients push beforehand (RFC 9126): the browser then carries a reference and nothing else.

A reference is for one client, for a browser that arrives within a minute and a half, and for one authorization, which
deletes it. Until then its page may be loaded again. What was pushed may name a person: it is kept sealed under the
reference, of which the table holds a hash, so the table alone tells nothing.
"""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete
from sqlalchemy.orm import Session

from gateway.identity.sealing import Sealing
from gateway.oidc.models import PushedRequestRow
from gateway.oidc.parameters import Parameters
from gateway.once.expired import BATCH, delete_expired

PREFIX = "urn:ietf:params:oauth:request_uri:"
# FAPI 2.0 Security Profile §5.3.2.2 item 12: less than 600 seconds.
LIFETIME = timedelta(seconds=90)
# Whoever arrived in time may take as long as a ticket lives to come back from the sign-in.
KEPT_FOR_SIGN_IN = timedelta(hours=1)
_REFERENCE = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A `request_uri` of our own: 256 random bits (RFC 9126 §7.1)."""

    request_uri: str = field(repr=False)

    @property
    def hash(self) -> bytes:
        """What of it is kept."""
        return hashlib.sha256(self.request_uri.encode()).digest()

    def sealing(self) -> Sealing:
        """Return what only this reference opens."""
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"gateway pushed request").derive(
            self.request_uri.encode()
        )
        return Sealing(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedRequest:
    """What was pushed, and whether its client had signed it (RFC 9101)."""

    parameters: Parameters
    signed: bool


def new_reference() -> Reference:
    """Return a reference that nobody can guess."""
    return Reference(request_uri=PREFIX + secrets.token_urlsafe(32))


def parse_reference(request_uri: str) -> Reference | None:
    """Return the reference that a `request_uri` is; None for one that cannot be ours."""
    return Reference(request_uri=request_uri) if _REFERENCE.match(request_uri) else None


def record_pushed(
    session: Session, reference: Reference, pushed: PushedRequest, *, client_id: str, now: datetime
) -> None:
    """Keep a request, checked already, for the client that pushed it."""
    content = {"parameters": pushed.parameters.pairs, "signed": pushed.signed}
    usable_until = now + LIFETIME
    session.add(
        PushedRequestRow(
            reference_hash=reference.hash,
            client_id=client_id,
            sealed=reference.sealing().seal(json.dumps(content).encode(), place=client_id),
            usable_until=usable_until,
            expires_at=usable_until + KEPT_FOR_SIGN_IN,
        )
    )
    session.flush()


def find_pushed(
    session: Session, reference: Reference, *, client_id: str, arrived_at: datetime
) -> PushedRequest | None:
    """Return what this client pushed; None when it did not, when it was used, and when the browser came too late."""
    row = session.get(PushedRequestRow, reference.hash)
    # RFC 9126 §2.2: the reference is bound to the client that pushed it.
    if row is None or row.client_id != client_id or arrived_at >= row.usable_until:
        return None
    content = json.loads(reference.sealing().unseal(row.sealed, place=client_id))
    pairs = tuple((name, value) for name, value in content["parameters"])
    return PushedRequest(parameters=Parameters(pairs=pairs), signed=content["signed"])


def use_pushed(session: Session, reference_hash: bytes) -> bool:
    """Use a request up (RFC 9126 §7.3), in the transaction that writes its code; false when it was used before.

    Of two tabs with one reference, the second waits here for the first to commit, and then finds nothing.
    """
    used = delete(PushedRequestRow).where(PushedRequestRow.reference_hash == reference_hash)
    return session.execute(used.returning(PushedRequestRow.reference_hash)).first() is not None


def purge_pushed(session: Session, *, now: datetime, limit: int = BATCH) -> int:
    """Delete at most `limit` requests that nobody came for in time; returns how many."""
    return delete_expired(session, PushedRequestRow, now=now, limit=limit)
