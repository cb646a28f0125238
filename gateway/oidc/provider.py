"""This room assembled: the OpenID Provider of one gateway."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.identity.people import People
from gateway.identity.sessions import SignedIn, find_signed_in
from gateway.identity.views import InterruptedRequest
from gateway.oidc.authorization.checks import (
    Asked,
    AuthorizationRequest,
    check_authorization,
    check_person,
    find_asker,
    needs_sign_in,
)
from gateway.oidc.authorization.codes import issue_code
from gateway.oidc.authorization.tickets import Ticket, Tickets
from gateway.oidc.clients.authentication import ClientAuthentication
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.parameters import Parameters
from gateway.oidc.possession import Possession
from gateway.oidc.tokens.access_tokens import AccessTokens
from gateway.oidc.tokens.caller import CallerOfResource
from gateway.oidc.tokens.endpoint import TokenRequests
from gateway.oidc.tokens.issuing import Issuing
from gateway.signing.signing_keys import SigningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInNeeded:
    """Somebody has to sign in before the request can be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeIssued:
    """The request is answered with this code."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIDProvider:
    """The parts of the provider; nothing is read or written until it is asked something."""

    endpoints: Endpoints
    database: Database
    audit: AuditLog
    people: People
    signing: SigningKeys
    clock: Clock
    access_tokens: AccessTokens
    tickets: Tickets
    client_authentication: ClientAuthentication
    """Authenticates clients at every endpoint that asks for it."""
    possession: Possession
    """Verifies DPoP proofs and certificates, and says what new tokens are bound to."""
    token_requests: TokenRequests
    caller_from_request: CallerOfResource
    """Turns what a request at the sharing API shows into a `Caller`."""

    def find_asker(self, parameters: Parameters) -> Asked:
        """Find out who asks for a sign-in, and where to answer; raises `SignInRequestUnusable`."""
        with self.database.read() as session:
            return find_asker(session, parameters, endpoints=self.endpoints)

    def answer(
        self, request: AuthorizationRequest, browser_secret: str | None, *, started_at: datetime, now: datetime
    ) -> CodeIssued | SignInNeeded:
        """Answer a checked request for whoever is signed in at this browser; raises `AuthorizationRefused`."""
        signed_in = self.people.sign_in.signed_in(browser_secret, now=now)
        if signed_in is None or needs_sign_in(request, signed_in, started_at=started_at, now=now):
            return SignInNeeded()
        check_person(request, signed_in)
        with self.database.write() as session:
            # Asked again in the transaction that commits the code: a session may have ended meanwhile.
            still = find_signed_in(session, browser_secret, now=now)
            if still is None or still.session_id != signed_in.session_id:
                return SignInNeeded()
            return CodeIssued(code=issue_code(session, request, still, now=now))

    def interrupted(self, next_path: str) -> InterruptedRequest | None:
        """Say what waits at a local path for somebody to sign in; None when that is not a request of a client."""
        ticket = self.tickets.read_address(next_path, now=self.clock.now())
        if ticket is None:
            return None
        try:
            request = check_authorization(self.find_asker(ticket.parameters))
        except GatewayError:
            # The door says what is wrong when the browser arrives there.
            return None
        target = urlsplit(request.asked.redirect_uri)

        def satisfied_by(signed_in: SignedIn) -> bool:
            return not needs_sign_in(request, signed_in, started_at=ticket.started_at, now=self.clock.now())

        return InterruptedRequest(
            service_name=request.client.name,
            kinds=request.kinds,
            form_target=f"{target.scheme}://{target.netloc}",
            satisfied_by=satisfied_by,
        )

    def address_to_continue(self, request: AuthorizationRequest, *, started_at: datetime) -> str:
        """Return the local path at which a request goes on after a sign-in."""
        return self.tickets.address_of(Ticket(parameters=request.asked.parameters, started_at=started_at))

    def count_stranger(self, *, source: str, code: str) -> None:
        """Count a request of nobody we know."""
        self.audit.count_stranger(source=source, code=code, at=self.clock.now())


def assemble_provider(
    *,
    issuer: str,
    sharing_resource: str,
    database: Database,
    audit: AuditLog,
    people: People,
    signing: SigningKeys,
    clock: Clock,
    ticket_key: bytes,
) -> OpenIDProvider:
    """Put the provider together. `ticket_key` is a 256-bit secret shared by every worker and node."""
    endpoints = Endpoints(issuer=issuer, sharing=sharing_resource)
    possession = Possession(endpoints=endpoints)
    access_tokens = AccessTokens(endpoints=endpoints, keys=signing, possession=possession)
    issuing = Issuing(
        endpoints=endpoints,
        keys=signing,
        access_tokens=access_tokens,
        pairwise=people.pairwise,
        references=people.references,
    )
    authentication = ClientAuthentication(database=database, audit=audit, endpoints=endpoints)
    return OpenIDProvider(
        endpoints=endpoints,
        database=database,
        audit=audit,
        people=people,
        signing=signing,
        clock=clock,
        access_tokens=access_tokens,
        tickets=Tickets(ticket_key),
        client_authentication=authentication,
        possession=possession,
        token_requests=TokenRequests(
            database=database,
            audit=audit,
            authentication=authentication,
            possession=possession,
            issuing=issuing,
            references=people.references,
            clock=clock,
        ),
        caller_from_request=CallerOfResource(database=database, access_tokens=access_tokens, resource=sharing_resource),
    )
