"""This room assembled: the OpenID Provider of one gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import find_member
from gateway.errors import GatewayError
from gateway.identity.people import People
from gateway.identity.sessions import SignedIn, find_signed_in, hold_session
from gateway.identity.views import InterruptedRequest, StillNeeded
from gateway.oidc.authorization.checks import check_authorization
from gateway.oidc.authorization.codes import issue_code
from gateway.oidc.authorization.effective import Requests
from gateway.oidc.authorization.hints import whom_it_names
from gateway.oidc.authorization.jarm import sign_answer
from gateway.oidc.authorization.person import Progress, Step, Wanted, check_person, step_before_answer
from gateway.oidc.authorization.pushed import use_pushed
from gateway.oidc.authorization.pushing import PushedRequests
from gateway.oidc.authorization.request import Asked, AuthorizationRequest, find_asker
from gateway.oidc.authorization.tickets import Ticket, Tickets
from gateway.oidc.clients.authentication import ClientAuthentication
from gateway.oidc.clients.certificates import ClientCertificates, clients_with_certificates, first_certificate
from gateway.oidc.clients.key_sets import KeySets
from gateway.oidc.clients.registrar import Registrar, fapi_rule, surroundings_of
from gateway.oidc.clients.registration import Registrations
from gateway.oidc.clients.secrets import ClientSecrets
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import AuthorizationRefused, SignInRequestUnusable
from gateway.oidc.parameters import Parameters
from gateway.oidc.possession import DPoPNonces, Possession
from gateway.oidc.sandbox import explain_rejection, explain_request
from gateway.oidc.sandbox_refusals import explain_refusal, note_on_scopes
from gateway.oidc.tokens.access_tokens import AccessTokens
from gateway.oidc.tokens.caller import CallerOfResource
from gateway.oidc.tokens.endpoint import TokenRequests
from gateway.oidc.tokens.introspection import Introspection
from gateway.oidc.tokens.issuing import Issuing
from gateway.oidc.tokens.refused_tokens import RefusedTokens
from gateway.oidc.tokens.revocation_requests import RevocationRequests
from gateway.oidc.tokens.together import GrantsTogether
from gateway.oidc.tokens.token_management import TokenManagement
from gateway.outgoing.http_client import HttpClient
from gateway.signing.signing_keys import SigningKeys

# What a page of `identity` can do about it; the other steps have pages of this room.
STILL_NEEDED = {Step.SIGN_IN: StillNeeded.SIGN_IN, Step.SECURITY_CODE: StillNeeded.SECURITY_CODE}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNeeded:
    """The person at the browser has to do something before the request can be answered."""

    step: Step
    signed_in: SignedIn | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeIssued:
    """The request is answered with this code."""

    code: str = field(repr=False)


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
    key_sets: KeySets
    """The public keys of clients, by value or from their own addresses."""
    requests: Requests
    """Reads what requests at the authorization endpoint bring along."""
    pushed_requests: PushedRequests
    registrations: Registrations
    token_requests: TokenRequests
    token_management: TokenManagement
    caller_from_request: CallerOfResource
    """Turns what a request at the sharing API shows into a `Caller`."""
    refused_tokens: RefusedTokens
    """Accounts for access tokens that did not open a resource."""
    sandbox: bool = False
    """Whether developers are told what production tells nobody."""

    def find_asker(self, sent: Parameters, *, arrived_at: datetime) -> Asked:
        """Find out who asks for a sign-in, and where to answer; raises `SignInRequestUnusable`."""
        effective = self.requests.resolve(sent, arrived_at=arrived_at)
        with self.database.read() as session:
            return find_asker(session, effective, endpoints=self.endpoints)

    def sign_answer(self, asked: Asked, members: Mapping[str, str]) -> str:
        """Return an answer as a JWT for the client that asked (JARM)."""
        return sign_answer(asked, members, keys=self.signing, now=self.clock.now())

    def whom_it_names(self, request: AuthorizationRequest) -> Wanted:
        """Find out whose answer a request may be; raises `AuthorizationRefused` for a hint that is not of ours."""
        with self.database.read() as session:
            return whom_it_names(session, request, keys=self.signing, pairwise=self.people.pairwise)

    def answer(
        self,
        request: AuthorizationRequest,
        browser_secret: str | None,
        *,
        progress: Progress,
        consented: bool = False,
        source: str,
        now: datetime,
    ) -> CodeIssued | StepNeeded:
        """Answer a checked request for whoever is signed in at this browser; raises `AuthorizationRefused`.

        Raises `SignInRequestUnusable` for a pushed request that was answered at the same moment elsewhere.
        `consented`: they have just said yes on our page, as whom `progress` names.
        """
        signed_in = self.people.sign_in.signed_in(browser_secret, now=now)
        wanted = self._wanted(request, signed_in, source=source, now=now)
        step = step_before_answer(request, signed_in, wanted=wanted, progress=progress, consented=consented, now=now)
        if signed_in is None or step not in {None, Step.CONSENT}:
            return StepNeeded(step=step or Step.SIGN_IN, signed_in=signed_in)
        try:
            check_person(request, signed_in, wanted=wanted)
        except AuthorizationRefused as refused:
            self.record_refused(request, signed_in, reason=refused.code, source=source, now=now)
            raise
        if step is not None:
            return StepNeeded(step=step, signed_in=signed_in)
        with self.database.write() as session:
            # Asked again in the transaction that commits the code: a session may have ended meanwhile.
            still = find_signed_in(session, browser_secret, now=now)
            if still is None or still.session_id != signed_in.session_id or not hold_session(session, still.session_id):
                return StepNeeded(step=Step.SIGN_IN, signed_in=None)
            pushed = request.asked.effective.pushed
            if pushed is not None and not use_pushed(session, pushed):
                raise SignInRequestUnusable("The request_uri was used")
            return CodeIssued(code=issue_code(session, request, still, now=now))

    def _wanted(
        self, request: AuthorizationRequest, signed_in: SignedIn | None, *, source: str, now: datetime
    ) -> Wanted:
        try:
            return self.whom_it_names(request)
        except AuthorizationRefused as refused:
            if signed_in is None:
                self.count_stranger(source=source, code=f"oidc.authorization.{refused.code}")
            else:
                self.record_refused(request, signed_in, reason=refused.code, source=source, now=now)
            raise

    def record_refused(
        self, request: AuthorizationRequest, signed_in: SignedIn, *, reason: str, source: str, now: datetime
    ) -> None:
        """Record that a request about somebody who is signed in was refused; `reason` is an OAuth error."""
        account = signed_in.account
        event = Event(
            name="oidc.authorization.refused",
            outcome=REFUSED,
            members=(request.client.member_code,),
            details={
                "client": request.client.client_id,
                "member": request.client.member_code,
                "account": str(account.account_id),
                "account_kind": str(account.kind),
                "acr": signed_in.acr,
                "session": str(signed_in.session_id),
                "scope": " ".join(request.scopes),
                "resource": list(request.resources),
                "source": source,
                "reason": reason,
            },
            subject=self.people.references.reference_of_account(account.account_id),
        )
        self.audit.record(event, at=now)

    def interrupted(self, next_path: str) -> InterruptedRequest | None:
        """Say what waits at a local path for somebody to sign in; None when that is not a request of a client."""
        ticket = self.tickets.read_address(next_path, now=self.clock.now())
        if ticket is None:
            return None
        progress = ticket.progress
        try:
            request = check_authorization(self.find_asker(ticket.parameters, arrived_at=progress.started_at))
            wanted = self.whom_it_names(request)
        except GatewayError:
            # The door says what is wrong when the browser arrives there.
            return None
        target = urlsplit(request.asked.redirect_uri)

        def still_needed(signed_in: SignedIn) -> StillNeeded:
            step = step_before_answer(request, signed_in, wanted=wanted, progress=progress, now=self.clock.now())
            return STILL_NEEDED.get(step, StillNeeded.NOTHING) if step else StillNeeded.NOTHING

        return InterruptedRequest(
            service_name=request.client.name,
            kinds=request.kinds,
            form_target=f"{target.scheme}://{target.netloc}",
            login_hint=request.login_hint,
            still_needed=still_needed,
        )

    def name_of_member(self, code: str) -> str:
        """Return the name of the organisation whose client asks."""
        with self.database.read() as session:
            member = find_member(session, code)
        return member.name if member is not None else code

    def address_to_continue(self, request: AuthorizationRequest, progress: Progress) -> str:
        """Return the local path at which a request goes on; raises `AuthorizationRefused` if it fits into none."""
        return self.tickets.address_of(Ticket(parameters=request.asked.effective.sent, progress=progress))

    def explain(self, sent: Parameters) -> str | None:
        """Say, in a sandbox, what to change in a request that could not be used; else None."""
        if not self.sandbox:
            return None
        with self.database.read() as session:
            return explain_request(session, sent)

    def explain_refusal(self, asked: Asked, refused: AuthorizationRefused) -> str:
        """Say why a request is refused; in a sandbox, with what to change."""
        if not self.sandbox:
            return refused.public
        with self.database.read() as session:
            return explain_refusal(
                session,
                refused,
                client=asked.client,
                sent=asked.parameters,
                now=self.clock.now(),
                endpoints=self.endpoints,
            )

    def note_on(self, asked: Asked) -> str | None:
        """Say, in a sandbox, what of a good request is passed over."""
        return note_on_scopes(asked.client, asked.parameters) if self.sandbox else None

    def registered_certificates(self) -> tuple[bytes, ...]:
        """Return the certificates (DER) that clients registered with their keys; may fetch, outside any transaction."""
        with self.database.read() as session:
            clients = clients_with_certificates(session)
        now = self.clock.now()
        return tuple(
            certificate
            for client in clients
            for key in self.key_sets.keys_of(client, kid=None, now=now)
            if (certificate := first_certificate(key)) is not None
        )

    def account_for_refused(self, error: GatewayError, *, resource: str, source: str) -> None:
        """Record or count a request that was not let in at a resource by what it showed; outside any transaction."""
        self.refused_tokens.account_for(error, resource=resource, source=source, now=self.clock.now())

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
    http: HttpClient,
    ticket_key: bytes,
    client_secret_key: bytes,
    dpop_nonce_key: bytes | None = None,
    mtls: str | None = None,
    client_certificates: ClientCertificates | None = None,
    sandbox: bool = False,
) -> OpenIDProvider:
    """Put the provider together. Keys are 256-bit secrets shared by every worker and node.

    With `dpop_nonce_key`, DPoP proofs need a nonce; with `client_certificates`, clients can show theirs, at the base
    address `mtls` where that is another one.
    """
    endpoints = Endpoints(issuer=issuer, sharing=sharing_resource, mtls=mtls)
    possession = Possession(
        endpoints=endpoints, nonces=DPoPNonces(dpop_nonce_key) if dpop_nonce_key is not None else None
    )
    key_sets = KeySets(database=database, http=http)
    access_tokens = AccessTokens(endpoints=endpoints, keys=signing, possession=possession)
    issuing = Issuing(
        endpoints=endpoints,
        keys=signing,
        access_tokens=access_tokens,
        pairwise=people.pairwise,
        references=people.references,
    )
    authentication = ClientAuthentication(
        database=database,
        audit=audit,
        endpoints=endpoints,
        secrets=ClientSecrets(client_secret_key),
        certificates=client_certificates,
        keys_of=key_sets.keys_of,
        explain=explain_rejection if sandbox else None,
    )
    explain = partial(explain_refusal, endpoints=endpoints) if sandbox else None
    plain_http = issuer.startswith("http://")
    registrations = Registrations(
        database=database,
        audit=audit,
        registrar=Registrar(audit=audit, secrets=authentication.secrets),
        throttle=people.sign_in.throttle,
        surroundings=surroundings_of(http, issuer=issuer, plain_http=plain_http, auth_methods=authentication.methods),
        client_rules=(fapi_rule(plain_http=plain_http),),
    )
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
        registrations=registrations,
        sandbox=sandbox,
        possession=possession,
        key_sets=key_sets,
        requests=Requests(database=database, key_sets=key_sets, endpoints=endpoints, clock=clock),
        pushed_requests=PushedRequests(
            database=database,
            audit=audit,
            authentication=authentication,
            possession=possession,
            key_sets=key_sets,
            signing=signing,
            pairwise=people.pairwise,
            endpoints=endpoints,
            clock=clock,
            explain=explain,
        ),
        token_requests=TokenRequests(
            database=database,
            audit=audit,
            authentication=authentication,
            possession=possession,
            issuing=issuing,
            together=GrantsTogether(database=database, audit=audit),
            clock=clock,
            explain=explain,
        ),
        token_management=TokenManagement(
            database=database,
            authentication=authentication,
            introspection=Introspection(issuing=issuing, audit=audit),
            revocation=RevocationRequests(access_tokens=access_tokens, references=people.references, audit=audit),
            clock=clock,
        ),
        caller_from_request=CallerOfResource(database=database, access_tokens=access_tokens, resource=sharing_resource),
        refused_tokens=RefusedTokens(audit=audit),
    )
