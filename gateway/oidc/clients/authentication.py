"""Client authentication (RFC 6749 §2.3), the same at every endpoint that asks for it.

An endpoint first has the client verified, which writes nothing, so that whoever has no key cannot hold up those who
write; then, in the transaction that answers the request, it claims what may be used once:

    authenticated = authentication.verify(form, presented, now=now)
    if isinstance(authenticated, ClientRejected):
        return authentication.refuse(authenticated, source=source, now=now)
    with database.write() as session:
        client = authentication.claim(session, authenticated, source=source, now=now)
        if isinstance(client, ClientRefused):
            return client  # committed: the refusal is accounted for
        ...
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.db import Database
from gateway.directory.members import Client, find_client
from gateway.identity.caller import Presented
from gateway.oidc.clients.assertion import VerifiedAssertion, claim_assertion, verify_assertion
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedClient:
    """A client that proved who it is; what it showed is claimed in the transaction that answers."""

    client: Client
    method: str
    """Its `token_endpoint_auth_method`."""
    key_id: str
    """Which of its keys, for the log."""
    assertion: VerifiedAssertion | None = None
    """What may be used only once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRefused:
    """The answer to a client that was not authenticated (RFC 6749 §5.2), the same whatever rule failed."""

    challenge: str | None = None
    """`WWW-Authenticate`, when the client tried the `Authorization` header."""
    error: str = "invalid_client"
    # Which rule failed is for the log: a stranger learns neither that nor whether the client exists.
    description: str = "The client could not be authenticated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthentication:
    """Authenticates the clients of one gateway."""

    database: Database
    audit: AuditLog
    endpoints: Endpoints

    def verify(self, form: Parameters, presented: Presented, *, now: datetime) -> AuthenticatedClient | ClientRejected:
        """Find out who asks, without writing. The caller has refused repeated parameters."""
        if presented.authorization:
            # RFC 6749 §2.3: no more than one method in a request.
            return ClientRejected(reason="wrong_method", by_header=True)
        with self.database.read() as session:
            assertion = verify_assertion(session, form, endpoints=self.endpoints, now=now)
        if isinstance(assertion, ClientRejected):
            return assertion
        return AuthenticatedClient(
            client=assertion.client, method="private_key_jwt", key_id=assertion.key_id, assertion=assertion
        )

    def claim(
        self, session: Session, authenticated: AuthenticatedClient, *, source: str, now: datetime
    ) -> Client | ClientRefused:
        """Use up what may be used once, and find the client again, in the caller's transaction.

        The caller commits whatever this returns: a refusal has written its event.
        """
        if authenticated.assertion is not None and not claim_assertion(session, authenticated.assertion):
            rejected = ClientRejected(reason="assertion_replayed", client=authenticated.client, signed=True)
            self.audit.append(session, _rejection(rejected, authenticated.client, source=source), at=now)
            return ClientRefused()
        # Asked again here, because between the read and this turn to write the client may have been disabled.
        client = find_client(session, authenticated.client.client_id)
        if client is None:
            self.audit.count_noise(session, source=source, code="oidc.unknown_client", at=now)
            return ClientRefused()
        return client

    def refuse(self, rejected: ClientRejected, *, source: str, now: datetime) -> ClientRefused:
        """Account for a refusal that is all there is to write; call it outside any transaction."""
        if rejected.client is None:
            self.audit.count_stranger(source=source, code=f"oidc.{rejected.reason}", at=now)
        elif rejected.signed:
            self.audit.record(_rejection(rejected, rejected.client, source=source), at=now)
        else:
            with self.database.write() as session:
                # Anyone can name a client: without its signature this is noise, of which only so much is told.
                if self.audit.count_noise(session, source=source, code="oidc.client_unproved", at=now):
                    self.audit.append(session, _rejection(rejected, rejected.client, source=source), at=now)
        return ClientRefused(challenge='Basic realm="gateway"' if rejected.by_header else None)


def _rejection(rejected: ClientRejected, client: Client, *, source: str) -> Event:
    return Event(
        name="oidc.client.rejected",
        outcome=REFUSED,
        # Without its signature no member is named in public for what a stranger may have sent.
        members=(client.member_code,) if rejected.signed else (),
        details={
            "client": client.client_id,
            "member": client.member_code,
            "reason": rejected.reason,
            "source": source,
        },
    )
