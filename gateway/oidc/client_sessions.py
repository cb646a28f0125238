"""Which clients were given tokens in which browser's session: each knows it by a `sid` of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from gateway.directory.members import find_registration
from gateway.oidc.models import ClientSessionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSession:
    """One client's part in a session: the names it has for the session and for the person."""

    client_id: str
    sid: str
    sub: str


def record_client_session(
    session: Session, session_id: UUID, *, client_id: str, sid: str, sub: str, now: datetime
) -> None:
    """Note that a client was given tokens in a session; a second time changes nothing.

    The caller holds the lock of the authorization whose code is redeemed. A session that ends takes back its
    authorizations first, which waits for that lock, and only then asks whom to tell.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = insert(ClientSessionRow).values(session_id=session_id, client_id=client_id, sid=sid, sub=sub, began_at=now)
    session.execute(row.on_conflict_do_nothing())


def clients_of_sessions(session: Session, session_ids: Sequence[UUID]) -> tuple[ClientSession, ...]:
    """Return every client that was given tokens in any of these sessions."""
    query = select(ClientSessionRow).where(ClientSessionRow.session_id.in_(session_ids))
    return tuple(
        ClientSession(client_id=row.client_id, sid=row.sid, sub=row.sub)
        for row in session.scalars(query.order_by(ClientSessionRow.session_id, ClientSessionRow.client_id))
    )


def services_of_sessions(session: Session, session_ids: Sequence[UUID]) -> Mapping[UUID, tuple[str, ...]]:
    """Name, for each of these sessions, the clients that were given tokens in it, for people to read."""
    query = select(ClientSessionRow.session_id, ClientSessionRow.client_id).where(
        ClientSessionRow.session_id.in_(session_ids)
    )
    named: dict[UUID, tuple[str, ...]] = {}
    for session_id, client_id in session.execute(query.order_by(ClientSessionRow.began_at)):
        found = find_registration(session, client_id)
        name = f"{found[0].name} ({client_id})" if found is not None else client_id
        named[session_id] = (*named.get(session_id, ()), name)
    return named


def forget_client_sessions(session: Session, session_ids: Sequence[UUID]) -> None:
    """Delete what is known of the clients of sessions that are over."""
    session.execute(delete(ClientSessionRow).where(ClientSessionRow.session_id.in_(session_ids)))
