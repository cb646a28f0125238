"""What follows from the end of a session, in the transaction that ends it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.directory.members import find_client
from gateway.oidc.client_sessions import clients_of_sessions, forget_client_sessions
from gateway.oidc.logout.back_channel import KIND
from gateway.oidc.tokens.revocation import revoke_person, revoke_sessions
from gateway.outbox.deliveries import Letter, enqueue


class LogoutConsequences:
    """Takes back tokens, and promises a notice to each client that knows the session and wants to be told."""

    def sessions_ended(self, session: Session, session_ids: Sequence[UUID], *, at: datetime) -> None:
        """Sessions are over: their tokens are taken back, their clients told."""
        # First: this waits for redemptions that are under way, so that none is missed below.
        revoke_sessions(session, session_ids, now=at)
        parts = clients_of_sessions(session, session_ids)
        # Each is looked for once: of a hundred sessions that end together, most know the same few.
        clients = {client_id: find_client(session, client_id) for client_id in {known.client_id for known in parts}}
        notices = []
        for known in parts:
            client = clients[known.client_id]
            if client is not None and client.oauth.backchannel_logout_uri is not None:
                notices.append(
                    Letter(kind=KIND, recipient=known.client_id, payload={"sid": known.sid, "sub": known.sub})
                )
        enqueue(session, notices, at=at)
        forget_client_sessions(session, session_ids)

    def person_signed_out(self, session: Session, account_id: UUID, *, at: datetime) -> None:
        """A person is signed out everywhere: nothing that was given for them outlives it."""
        revoke_person(session, account_id, now=at)
