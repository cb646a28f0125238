"""The token endpoint (RFC 6749 §3.2): who is asking, then one grant, in one transaction with its event.

Authlib chooses the grant and applies RFC 6749's rules; see `grants`. The client is authenticated before the write
transaction begins, so that whoever has no key cannot hold up those who write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE, REFUSED
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client
from gateway.identity.accounts import Account
from gateway.identity.caller import Presented
from gateway.identity.subjects import SubjectReferences
from gateway.oidc.clients.authentication import ClientAuthentication, ClientRefused
from gateway.oidc.clients.rejection import ClientRejected
from gateway.oidc.models import AuthorizationRow
from gateway.oidc.parameters import Parameters
from gateway.oidc.possession import NonceNeeded, Possession, ProofRefused, SenderConstraint, claim_proof
from gateway.oidc.tokens.grants import ClientGrant, CodeGrant, RefreshGrant, RegisteredClient, S256Only
from gateway.oidc.tokens.issuing import IssuedTokens, Issuing
from gateway.oidc.tokens.revocation import revoke_family
from gateway.wire.dpop import VerifiedProof

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensGranted:
    """The members of a token response."""

    members: Mapping[str, str | int] = field(repr=False)


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
    references: SubjectReferences
    clock: Clock

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
        proof = self._proof_of(presented, now=now)
        with self.database.write() as session:
            # Committed at the end of this block: from then on the tokens are accounted for.
            client = self.authentication.claim(session, authenticated, source=source, now=now)
            if isinstance(client, ClientRefused):
                return client
            endpoint = TokenEndpoint(
                session=session,
                client=client,
                form=form,
                requests=self,
                source=source,
                key_id=authenticated.key_id,
                now=now,
            )
            try:
                endpoint.constraint = self._constraint_for(session, client, presented, proof)
            except NonceNeeded as error:
                # RFC 9449 §8: how every client begins that has no nonce yet. It was refused nothing.
                return TokensRefused(error=error.code, description=error.public)
            except ProofRefused as error:
                return endpoint.refuse(error.code, error.public)
            return endpoint.answer()

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


class TokenEndpoint(AuthorizationServer):
    """Authlib's server for one request of one authenticated client, inside one transaction."""

    def __init__(
        self,
        *,
        session: Session,
        client: Client,
        form: Parameters,
        requests: TokenRequests,
        source: str,
        key_id: str,
        now: datetime,
    ) -> None:
        super().__init__()
        self.session = session
        self.client = client
        self.issuing = requests.issuing
        self.now = now
        self._requests = requests
        self._form = form
        self.constraint = SenderConstraint()
        # Only a grant that there is: what else a client may write there is not for the log.
        grant_type = next((known for known in GRANT_TYPES if known == form.one("grant_type")), None)
        self._facts = {"grant_type": grant_type, "source": source, "key_id": key_id}
        self.register_grant(CodeGrant, [S256Only()])
        self.register_grant(RefreshGrant)
        self.register_grant(ClientGrant)

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that this request names (RFC 8707 §2.2)."""
        return self._form.all("resource")

    def answer(self) -> TokensGranted | TokensRefused:
        """Let the grant answer."""
        if self._form.one("grant_type") is None:
            return self.refuse("invalid_request", "grant_type is missing")
        if self._facts["grant_type"] is None:
            return self.refuse("unsupported_grant_type", "This grant_type is not supported")
        request = FormRequest(self._form, uri=self.issuing.endpoints.token)
        # Authlib returns whatever `handle_response` makes.
        return cast("TokensGranted | TokensRefused", self.create_token_response(request))

    def authenticate_client(
        self,
        request: OAuth2Request,  # noqa: ARG002 - Authlib's signature
        methods: object,  # noqa: ARG002
        endpoint: str = "token",  # noqa: ARG002
    ) -> RegisteredClient:
        """The client was authenticated before this transaction began; its assertion is used up in it."""
        return RegisteredClient(client=self.client)

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        """The request is in Authlib's form already."""
        return request

    def handle_response(self, status: int, body: Mapping[str, Any], headers: object) -> TokensGranted | TokensRefused:  # noqa: ARG002 - Authlib's signature
        """Turn Authlib's answer into ours; status and headers are the door's business."""
        if "error" not in body:
            return TokensGranted(members=body)
        return self.refuse(body["error"], body.get("error_description") or "Refused")

    def refuse(self, error: str, description: str) -> TokensRefused:
        """Write the event of a refusal, and return it."""
        details = {"reason": error, "client": self.client.client_id, "member": self.client.member_code}
        self._append("oidc.tokens.refused", REFUSED, {**self._facts, **details}, account=None)
        return TokensRefused(error=error, description=description)

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> TokensGranted | TokensRefused:  # noqa: ARG002 - Authlib's signature
        """A refusal is a value: what was written so far stays written."""
        return self.handle_response(*error())

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def record_issued(
        self, name: str, issued: IssuedTokens, *, family: AuthorizationRow | None, account: Account | None
    ) -> dict[str, str | int]:
        """Write the event beside the tokens; returns the members of the answer."""
        details = {
            **self._facts,
            "client": self.client.client_id,
            "member": self.client.member_code,
            "scope": issued.access.scope,
            "audience": list(issued.access.audience),
            "token": issued.access.token_id,
        }
        self._append(name, DONE, {**details, **_family_facts(family, account)}, account=account)
        return issued.as_response()

    def revoke_replayed(self, family: AuthorizationRow, *, event: str) -> None:
        """Revoke all that came of an authorization whose code or refresh token was used twice, and record it."""
        revoke_family(self.session, family.authorization_id, now=self.now)
        details = {**self._facts, "client": self.client.client_id, "family": str(family.authorization_id)}
        self._append(event, REFUSED, details, account=family.account_id)

    def _append(self, name: str, outcome: str, details: dict[str, Any], *, account: Any) -> None:
        account_id = account.account_id if isinstance(account, Account) else account
        event = Event(
            name=name,
            outcome=outcome,
            members=(self.client.member_code,),
            details=details,
            subject=self._requests.references.reference_of_account(account_id) if account_id is not None else None,
        )
        self._requests.audit.append(self.session, event, at=self.now)


class FormRequest(OAuth2Request):
    """A token request as Authlib reads it: the body's parameters alone, never those of the address."""

    def __init__(self, form: Parameters, *, uri: str) -> None:
        # The address is the configured one. Authlib refuses plain http elsewhere than on loopback, as settings do.
        super().__init__("POST", uri)
        self._values = dict(form.pairs)
        self.payload = BasicOAuth2Payload(self._values)

    @property
    def form(self) -> dict[str, str]:
        """The body's parameters; a repeated `resource` is read elsewhere."""
        return self._values


def _family_facts(family: AuthorizationRow | None, account: Account | None) -> dict[str, Any]:
    if family is None or account is None:
        return {}
    return {
        "account": str(account.account_id),
        "account_kind": str(account.kind),
        "acr": family.acr,
        "session": str(family.session_id),
        "family": str(family.authorization_id),
    }
