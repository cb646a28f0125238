"""What follows from the end of a session, in the transaction that ends it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.directory.members import find_client
from gateway.oidc.client_sessions import clients_of_session, forget_client_sessions
from gateway.oidc.logout.back_channel import KIND
from gateway.oidc.tokens.revocation import revoke_person, revoke_session
from gateway.outbox.deliveries import enqueue


class LogoutConsequences:
    """Takes back tokens, and promises a notice to each client that knows the session and wants to be told."""

    def session_ended(self, session: Session, session_id: UUID, *, at: datetime) -> None:
        """A browser's session is over: its tokens are taken back, its clients told."""
        # First: this waits for redemptions that are under way, so that none is missed below.
        revoke_session(session, session_id, now=at)
        for known in clients_of_session(session, session_id):
            client = find_client(session, known.client_id)
            if client is not None and client.oauth.backchannel_logout_uri is not None:
                names = {"sid": known.sid, "sub": known.sub}
                enqueue(session, kind=KIND, recipient=known.client_id, payload=names, at=at)
        forget_client_sessions(session, session_id)

    def person_signed_out(self, session: Session, account_id: UUID, *, at: datetime) -> None:
        """A person is signed out everywhere: nothing that was given for them outlives it."""
        revoke_person(session, account_id, now=at)
