"""The token endpoint (RFC 6749 §3.2): who is asking, then one grant, in one transaction with its event.

The client is authenticated before the write transaction begins, so that whoever has no key cannot hold up those who
write. Each grant is a function of a `TokenRequest` that returns the members of its answer, or raises `GrantRefused`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.events import REFUSED
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client
from gateway.identity.caller import Presented
from gateway.oidc.clients.assertion import claim_of
from gateway.oidc.clients.authentication import AuthenticatedClient, ClientAuthentication, ClientRefused
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.parameters import Parameters
from gateway.oidc.possession import NonceNeeded, Possession, ProofRefused, SenderConstraint, claim_proof
from gateway.oidc.sandbox_refusals import Explain
from gateway.oidc.tokens import token_exchange
from gateway.oidc.tokens.client_grant import grant_client, prepared_grant
from gateway.oidc.tokens.code_grant import redeem_code
from gateway.oidc.tokens.issuing import Issuing
from gateway.oidc.tokens.refresh import prepared_refresh, refresh
from gateway.oidc.tokens.together import Grant, GrantsTogether
from gateway.oidc.tokens.token_request import GrantAsked, GrantRefused, TokenRequest
from gateway.wire.dpop import VerifiedProof

GRANTS: Mapping[str, Callable[[TokenRequest], dict[str, Any]]] = {
    "authorization_code": redeem_code,
    "refresh_token": refresh,
    "client_credentials": grant_client,
    token_exchange.GRANT_TYPE: token_exchange.exchange_token,
}
GRANT_TYPES = tuple(GRANTS)
TOGETHER: Mapping[str, Callable[[GrantAsked, Session], Grant | None]] = {
    "client_credentials": prepared_grant,
    "refresh_token": prepared_refresh,
}
"""Those that most requests are for: several share a transaction, unless there is anything to say about one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensGranted:
    """The members of a token response."""

    members: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensRefused:
    """An OAuth error (RFC 6749 §5.2) for the client's developer; nothing in it is the client's own text."""

    error: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequests:
    """Answers token requests for one gateway."""

    database: Database
    audit: AuditLog
    authentication: ClientAuthentication
    possession: Possession
    issuing: Issuing
    together: GrantsTogether
    clock: Clock
    explain: Explain | None = None
    """In a sandbox: what to change."""

    def answer(
        self, form: Parameters, presented: Presented, *, source: str
    ) -> TokensGranted | TokensRefused | ClientRefused:
        """Answer one request; what it changed, refusals included, is committed before this returns."""
        if form.repeated:
            return TokensRefused(error="invalid_request", description="A parameter is repeated")
        now = self.clock.now()
        authenticated = self.authentication.verify(form, presented, now=now)
        if isinstance(authenticated, ClientRejected):
            return self.authentication.refuse(authenticated, source=source, now=now)
        asked = GrantAsked(
            client=authenticated.client,
            form=form,
            issuing=self.issuing,
            audit=self.audit,
            source=source,
            key_id=authenticated.key_id,
            now=now,
        )
        together = self._granted_together(asked, authenticated, presented)
        return together or self._answered_alone(asked, authenticated, presented)

    def _answered_alone(
        self, asked: GrantAsked, authenticated: AuthenticatedClient, presented: Presented
    ) -> TokensGranted | TokensRefused | ClientRefused:
        """Answer in a transaction of its own."""
        proof = self._proof_of(presented, now=asked.now)
        with self.database.write() as session:
            # Committed at the end of this block: from then on the tokens are accounted for.
            client = self.authentication.claim(session, authenticated, source=asked.source, now=asked.now)
            if isinstance(client, ClientRefused):
                return client
            request = TokenRequest.within(session, replace(asked, client=client))
            try:
                constraint = self._constraint_for(session, client, presented, proof)
                return TokensGranted(members=_grant(replace(request, constraint=constraint)))
            except NonceNeeded as error:
                # RFC 9449 §8: how every client begins that has no nonce yet. It was refused nothing.
                return TokensRefused(error=error.code, description=error.public)
            except (ProofRefused, GrantRefused) as error:
                # A refusal is a value from here on: what it wrote, a revoked family say, is committed with its event.
                request.record("oidc.tokens.refused", REFUSED, {"reason": error.code})
                told = error.public
                if self.explain is not None:
                    told = self.explain(session, error, client=client, sent=asked.form, now=asked.now)
                return TokensRefused(error=error.code, description=told)

    def _granted_together(
        self, asked: GrantAsked, authenticated: AuthenticatedClient, presented: Presented
    ) -> TokensGranted | None:
        """Try what clients ask for all day. None: it is something else, or not granted like that."""
        grant_type = asked.form.one("grant_type")
        # A proof would be a second thing to use up: both are, or neither, and that takes a transaction of its own.
        if grant_type not in TOGETHER or grant_type not in asked.client.grant_types or presented.dpop:
            return None
        try:
            constraint = self.possession.constraint_for(asked.client, presented, None)
            with self.database.read() as session:
                grant = TOGETHER[grant_type](replace(asked, constraint=constraint), session)
        except (ProofRefused, GrantRefused):
            return None
        if grant is None:
            return None
        grant.claim = claim_of(authenticated.assertion) if authenticated.assertion is not None else None
        return TokensGranted(members=grant.issued.as_response()) if self.together.write(grant) else None

    def _proof_of(self, presented: Presented, *, now: datetime) -> VerifiedProof | ProofRefused | None:
        # A value, because the refusal is recorded in the transaction that uses up the client's assertion.
        try:
            return self.possession.proof_of(presented, now=now)
        except ProofRefused as refused:
            return refused

    def _constraint_for(
        self, session: Session, client: Client, presented: Presented, proof: VerifiedProof | ProofRefused | None
    ) -> SenderConstraint:
        if isinstance(proof, ProofRefused):
            raise proof
        if proof is not None and not claim_proof(session, proof):
            raise ProofRefused("The DPoP proof was used before")
        return self.possession.constraint_for(client, presented, proof)


def _grant(request: TokenRequest) -> dict[str, Any]:
    """Let the grant answer; raises `GrantRefused`."""
    grant_type = request.needed("grant_type")
    if grant_type not in GRANTS:
        raise GrantRefused("unsupported_grant_type", "This grant_type is not supported")
    # RFC 6749 §5.2: deny by default, a client has the grants that it is registered for.
    if grant_type not in request.client.grant_types:
        raise GrantRefused("unauthorized_client", "This client is not registered for this grant_type")
    return GRANTS[grant_type](request)
