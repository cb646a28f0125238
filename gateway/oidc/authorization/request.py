"""A relying party's request: who asks and where to answer, then all that was asked, understood.

Who asks and where to answer come first: until both are known, an error is a page and never a redirect (RFC 6749
§4.1.2.1).
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from gateway.directory.members import Client, find_client
from gateway.identity.accounts import AccountKind
from gateway.oidc.authorization.effective import Effective
from gateway.oidc.claims_request import ClaimsRequest
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import SignInRequestUnusable
from gateway.oidc.parameters import Parameters

LONGEST_CLIENT_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of a known client that names one of its own redirect URIs; nothing else about it is checked yet."""

    effective: Effective
    client: Client
    redirect_uri: str
    endpoints: Endpoints

    @property
    def parameters(self) -> Parameters:
        """What is asked, wherever it was written."""
        return self.effective.parameters

    @property
    def state(self) -> str | None:
        """What the answer must repeat."""
        return self.parameters.one("state")

    @property
    def kinds(self) -> tuple[AccountKind, ...]:
        """Which kinds of account may sign in to this client."""
        return tuple(AccountKind(kind) for kind in self.client.account_kinds if kind in set(AccountKind))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that passed every check, as understood: registered defaults are filled in."""

    asked: Asked
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    nonce: str | None
    code_challenge: str | None
    """None only for a client that is exempt from PKCE by name."""
    dpop_jkt: str | None
    prompts: frozenset[str]
    max_age: timedelta | None
    acr_values: tuple[str, ...]
    """Levels of sign-in that would be welcome, best first (voluntary, OIDC Core §5.5.1.1)."""
    claims: ClaimsRequest
    login_hint: str | None

    @property
    def client(self) -> Client:
        """Who asks."""
        return self.asked.client

    @property
    def kinds(self) -> tuple[AccountKind, ...]:
        """Which kinds of account may sign in to this client."""
        return self.asked.kinds


def find_asker(session: Session, effective: Effective, *, endpoints: Endpoints) -> Asked:
    """Find out who asks and where to answer; raises `SignInRequestUnusable`."""
    parameters = effective.parameters
    client_id = parameters.one("client_id")
    if client_id is None:
        raise SignInRequestUnusable("The request must name one client_id")
    client = find_client(session, client_id) if len(client_id) <= LONGEST_CLIENT_ID else None
    if client is None:
        raise SignInRequestUnusable("The client_id is not known here")
    redirect_uri = parameters.one("redirect_uri")
    if redirect_uri is None:
        raise SignInRequestUnusable("The request must name one redirect_uri")
    # RFC 9700 §2.1: redirect URIs are compared character by character; no prefix, port or path is forgiven.
    if redirect_uri not in client.redirect_uris:
        raise SignInRequestUnusable("The redirect_uri is not registered for this client")
    return Asked(effective=effective, client=client, redirect_uri=redirect_uri, endpoints=endpoints)
