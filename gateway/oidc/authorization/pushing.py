"""The endpoint at which clients push requests beforehand (RFC 9126).

The client is authenticated as at the token endpoint, and all that the authorization endpoint would refuse is refused
here already, where no browser sees it. There it is checked again: a registration may have changed meanwhile.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import REFUSED
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client
from gateway.identity.caller import Presented
from gateway.identity.pairwise import Pairwise
from gateway.oidc.authorization.checks import check_authorization
from gateway.oidc.authorization.effective import Effective
from gateway.oidc.authorization.hints import whom_it_names
from gateway.oidc.authorization.pushed import LIFETIME, PushedRequest, Reference, new_reference, record_pushed
from gateway.oidc.authorization.request import find_asker
from gateway.oidc.authorization.request_objects import verify_request_object
from gateway.oidc.clients.authentication import AuthenticatedClient, ClientAuthentication, ClientRefused
from gateway.oidc.clients.key_sets import KeySets
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import AuthorizationRefused, SignInRequestUnusable
from gateway.oidc.parameters import Parameters
from gateway.oidc.possession import NonceNeeded, Possession, ProofRefused, claim_proof
from gateway.oidc.sandbox_refusals import Explain, note_on_scopes
from gateway.signing.signing_keys import SigningKeys
from gateway.wire.dpop import VerifiedProof

# RFC 9126 §2.1: what authenticates the client is no part of its request.
ABOUT_THE_CLIENT = frozenset({"client_assertion", "client_assertion_type", "client_secret"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPushed:
    """The request is kept (RFC 9126 §2.2)."""

    request_uri: str = field(repr=False)
    expires_in: int
    """Seconds."""
    sandbox_note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """An OAuth error (RFC 9126 §2.3) for the client's developer; nothing in it is the client's own text."""

    error: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedRequests:
    """Takes the pushed requests of one gateway."""

    database: Database
    audit: AuditLog
    authentication: ClientAuthentication
    possession: Possession
    key_sets: KeySets
    signing: SigningKeys
    """Our own, by which an `id_token_hint` verifies."""
    pairwise: Pairwise
    endpoints: Endpoints
    clock: Clock
    explain: Explain | None = None
    """In a sandbox: what to change."""

    def answer(
        self, form: Parameters, presented: Presented, *, source: str
    ) -> RequestPushed | RequestRefused | ClientRefused:
        """Answer one request; what it changed, refusals included, is committed before this returns."""
        if form.repeated:
            return RequestRefused(error="invalid_request", description="A parameter is repeated")
        now = self.clock.now()
        authenticated = self.authentication.verify(form, presented, now=now)
        if isinstance(authenticated, ClientRejected):
            return self.authentication.refuse(authenticated, source=source, now=now)
        # Before the transaction, because a client's keys may have to be fetched.
        pushed, proof = self._pushed(form, authenticated.client, now=now), self._proof_of(presented, now=now)
        with self.database.write() as session:
            client = self.authentication.claim(session, authenticated, source=source, now=now)
            if isinstance(client, ClientRefused):
                return client
            try:
                reference = self._keep(session, pushed, proof, client, now=now)
            except NonceNeeded as error:
                # RFC 9449 §8: how every client begins that has no nonce yet. It was refused nothing.
                return RequestRefused(error=error.code, description=error.public)
            except (AuthorizationRefused, ProofRefused) as error:
                self._record_refusal(session, authenticated, error.code, source=source, now=now)
                told = error.public
                if self.explain is not None:
                    sent = pushed.parameters if isinstance(pushed, PushedRequest) else form
                    told = self.explain(session, error, client=client, sent=sent, now=now)
                return RequestRefused(error=error.code, description=told)
        note = note_on_scopes(client, pushed.parameters) if self.explain and isinstance(pushed, PushedRequest) else None
        return RequestPushed(
            request_uri=reference.request_uri, expires_in=int(LIFETIME.total_seconds()), sandbox_note=note
        )

    def _pushed(self, form: Parameters, client: Client, *, now: datetime) -> PushedRequest | AuthorizationRefused:
        # A refusal is a value, because it is recorded in the transaction that uses up the client's assertion.
        try:
            return self._read(form, client, now=now)
        except AuthorizationRefused as refused:
            return refused

    def _read(self, form: Parameters, client: Client, *, now: datetime) -> PushedRequest:
        # RFC 9126 §2.1: a request is pushed by value.
        if form.all("request_uri"):
            raise AuthorizationRefused("invalid_request", "A pushed request must not hold request_uri")
        if form.one("client_id") not in {None, client.client_id}:
            raise AuthorizationRefused("invalid_request", "client_id is not the client that was authenticated")
        request_object = form.one("request")
        if request_object is not None:
            # RFC 9126 §3: everything is in the object, and nothing beside it counts.
            parameters = verify_request_object(
                request_object, client=client, key_sets=self.key_sets, endpoints=self.endpoints, now=now
            )
            return PushedRequest(parameters=parameters, signed=True)
        kept = [pair for pair in form.pairs if pair[0] not in ABOUT_THE_CLIENT and pair[0] != "client_id"]
        return PushedRequest(parameters=Parameters(pairs=(("client_id", client.client_id), *kept)), signed=False)

    def _proof_of(self, presented: Presented, *, now: datetime) -> VerifiedProof | ProofRefused | None:
        try:
            return self.possession.proof_of(presented, now=now)
        except ProofRefused as refused:
            return refused

    def _keep(
        self,
        session: Session,
        pushed: PushedRequest | AuthorizationRefused,
        proof: VerifiedProof | ProofRefused | None,
        client: Client,
        *,
        now: datetime,
    ) -> Reference:
        if isinstance(proof, ProofRefused):
            raise proof
        if proof is not None and not claim_proof(session, proof):
            raise ProofRefused("The DPoP proof was used before")
        if isinstance(pushed, AuthorizationRefused):
            raise pushed
        bound = _bound_to(pushed, proof)
        reference = new_reference()
        effective = Effective(
            parameters=bound.parameters, sent=bound.parameters, signed=bound.signed, pushed=reference.hash
        )
        try:
            asked = find_asker(session, effective, endpoints=self.endpoints)
        except SignInRequestUnusable as error:
            raise AuthorizationRefused("invalid_request", error.public) from error
        whom_it_names(session, check_authorization(asked), keys=self.signing, pairwise=self.pairwise)
        record_pushed(session, reference, bound, client_id=client.client_id, now=now)
        return reference

    def _record_refusal(
        self, session: Session, authenticated: AuthenticatedClient, reason: str, *, source: str, now: datetime
    ) -> None:
        client = authenticated.client
        details = {
            "client": client.client_id,
            "member": client.member_code,
            "key_id": authenticated.key_id,
            "reason": reason,
            "source": source,
        }
        event = Event(name="oidc.request.refused", outcome=REFUSED, members=(client.member_code,), details=details)
        self.audit.append(session, event, at=now)


def _bound_to(pushed: PushedRequest, proof: VerifiedProof | None) -> PushedRequest:
    """RFC 9449 §10.1: a proof at this endpoint binds the code as `dpop_jkt` does; where both are sent, they agree."""
    if proof is None:
        return pushed
    named = pushed.parameters.all("dpop_jkt")
    if named not in {(), (proof.jkt,)}:
        raise ProofRefused("The DPoP proof is not by the key that dpop_jkt names")
    pairs = pushed.parameters.pairs if named else (*pushed.parameters.pairs, ("dpop_jkt", proof.jkt))
    return PushedRequest(parameters=Parameters(pairs=pairs), signed=pushed.signed)
