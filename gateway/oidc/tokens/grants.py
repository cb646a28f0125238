"""The three ways to get tokens, on Authlib's grants: it applies RFC 6749's rules, we supply rows, locks and tokens.

One instance answers one request, inside the caller's write transaction. A refusal is Authlib's error value, turned into
an answer by `token_endpoint`, so what a refusal itself writes (a revoked family, its event) is committed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    InvalidGrantError,
    InvalidScopeError,
    OAuth2Error,
    TokenMixin,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import OAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.identity.accounts import Account, AccountKind, find_account
from gateway.oidc.authorization.checks import SCOPES
from gateway.oidc.authorization.codes import hash_of, lock_authorization
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.possession import SenderConstraint
from gateway.oidc.tokens.issuing import FAMILY_LIFETIME, IssuedTokens, Issuing


class InvalidTargetError(OAuth2Error):
    """RFC 8707 §2: a resource that was not granted, or that this client may not ask for."""

    error = "invalid_target"
    description = "The resource was not granted to this client"


class GrantServer(Protocol):
    """What a grant needs of the server that runs it: who asks, in which transaction, and ways to issue and record."""

    session: Session
    client: Client
    issuing: Issuing
    constraint: SenderConstraint
    """What the new tokens are bound to."""
    now: datetime

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that the request names (RFC 8707 §2.2)."""
        ...

    def record_issued(
        self, name: str, issued: IssuedTokens, *, family: AuthorizationRow | None, account: Account | None
    ) -> dict[str, str | int]:
        """Write the event beside the tokens; returns the members of the answer."""
        ...

    def revoke_replayed(self, family: AuthorizationRow, *, event: str) -> None:
        """Revoke all that came of an authorization used twice, and record it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient(ClientMixin):
    """An authenticated client as Authlib's grants ask about it."""

    client: Client

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client is registered for this grant."""
        return grant_type in self.client.grant_types


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemableCode(AuthorizationCodeMixin):
    """A code that lives and was not used, with its row locked."""

    row: AuthorizationRow

    @property
    def code_challenge(self) -> str | None:
        """What the verifier must hash to."""
        return self.row.code_challenge

    def get_redirect_uri(self) -> str:
        """The redirect URI that the token request must repeat (RFC 6749 §4.1.3)."""
        return self.row.redirect_uri

    def get_scope(self) -> str:
        """What was granted."""
        return self.row.scope


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableRefreshToken(TokenMixin):
    """A refresh token that lives and was not used, with its row and its family's locked."""

    row: RefreshTokenRow
    family: AuthorizationRow

    def check_client(self, client: RegisteredClient) -> bool:
        """Whether it was issued to this client (RFC 6749 §6)."""
        return self.family.client_id == client.client.client_id

    def get_scope(self) -> str:
        """What was granted at first; no refresh widens it."""
        return self.family.scope


class S256Only(CodeChallenge):
    """RFC 7636 with nothing but S256: every code of ours has a challenge, so every redemption needs its verifier."""

    def get_authorization_code_challenge_method(self, authorization_code: object) -> str:  # noqa: ARG002 - Authlib's signature
        """Authlib's default would be `plain`."""
        return "S256"


class CodeGrant(AuthorizationCodeGrant):
    """RFC 6749 §4.1: a code for tokens."""

    server: GrantServer

    def query_authorization_code(self, code: str, client: ClientMixin) -> RedeemableCode | None:  # noqa: ARG002 - the server knows its client
        """Lock the code; one that was used before revokes all that came of it (RFC 6749 §4.1.2, RFC 9700 §4.5)."""
        row = lock_authorization(self.server.session, code)
        # Another client's attempt at a code is refused and changes nothing: it must not cost the owner its tokens.
        if row is None or row.client_id != self.server.client.client_id:
            return None
        if row.redeemed_at is not None:
            self.server.revoke_replayed(row, event="oidc.code.replayed")
            return None
        if row.revoked_at is not None or row.code_expires_at <= self.server.now:
            return None
        # RFC 9449 §10: the key that the authorization request named is the one that redeems its code.
        if row.dpop_jkt is not None and row.dpop_jkt != self.server.constraint.jkt:
            raise InvalidGrantError("The code is bound to another DPoP key")
        return RedeemableCode(row=row)

    def authenticate_user(self, authorization_code: RedeemableCode) -> Account | None:
        """Return the person, unless suspended since."""
        return find_account(self.server.session, authorization_code.row.account_id)

    def generate_token(self, user: Account, scope: str, *, include_refresh_token: bool) -> dict[str, str | int]:  # type: ignore[override]
        """Issue the first tokens of the family."""
        row = cast("RedeemableCode", self.request.authorization_code).row
        offline = include_refresh_token and "offline_access" in scope.split()
        issued = self.server.issuing.for_person(
            self.server.session,
            row,
            client=self.server.client,
            account=user,
            scope=scope,
            resources=_chosen(self.server.resources, row.resources),
            family_ends=_family_ends(user, now=self.server.now) if offline else None,
            nonce=row.nonce,
            constraint=self.server.constraint,
            now=self.server.now,
        )
        return self.server.record_issued("oidc.tokens.issued", issued, family=row, account=user)

    def save_token(self, token: object) -> None:
        """Issuing wrote the rows already."""

    def delete_authorization_code(self, authorization_code: RedeemableCode) -> None:
        """Mark the code used. Its row stays: a second use must be noticed."""
        authorization_code.row.redeemed_at = self.server.now


class RefreshGrant(RefreshTokenGrant):
    """RFC 6749 §6 with rotation (RFC 9700 §4.14.2): each refresh token works once."""

    server: GrantServer
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> UsableRefreshToken | None:  # type: ignore[override]  # as documented
        """Lock the token and its family; one that was used before revokes the family."""
        session = self.server.session
        query = select(RefreshTokenRow).where(RefreshTokenRow.token_hash == hash_of(refresh_token)).with_for_update()
        row = session.scalars(query).one_or_none()
        family = session.get(AuthorizationRow, row.authorization_id, with_for_update=True) if row else None
        if row is None or family is None or family.client_id != self.server.client.client_id:
            return None
        if row.used_at is not None:
            self.server.revoke_replayed(family, event="oidc.refresh_token.replayed")
            return None
        if family.revoked_at is not None or row.expires_at <= self.server.now:
            return None
        # RFC 9449 §5: a refresh token is bound by its client's own authentication, so the proof's key may be a new one;
        # but a family that began bound to a key does not go on without any.
        if family.dpop_jkt is not None and self.server.constraint.jkt is None:
            raise InvalidGrantError("These tokens are bound to a key: send a DPoP proof")
        return UsableRefreshToken(row=row, family=family)

    def authenticate_user(self, refresh_token: UsableRefreshToken) -> Account:
        """Return the person; one who was suspended since has nothing to refresh."""
        account = find_account(self.server.session, refresh_token.family.account_id)
        if account is None:
            raise InvalidGrantError("The account is not active")
        return account

    def generate_token(self, user: Account, scope: str, *, include_refresh_token: bool) -> dict[str, str | int]:  # type: ignore[override]  # noqa: ARG002 - always
        """Issue the next tokens of the family; the family's end does not move."""
        token = cast("UsableRefreshToken", self.request.refresh_token)
        issued = self.server.issuing.for_person(
            self.server.session,
            token.family,
            client=self.server.client,
            account=user,
            scope=scope,
            resources=_chosen(self.server.resources, token.family.resources),
            family_ends=token.row.expires_at,
            nonce=None,  # OIDC Core §12.2: a refreshed ID token needs none.
            constraint=self.server.constraint,
            now=self.server.now,
        )
        return self.server.record_issued("oidc.tokens.refreshed", issued, family=token.family, account=user)

    def save_token(self, token: object) -> None:
        """Issuing wrote the rows already."""

    def revoke_old_credential(self, refresh_token: UsableRefreshToken) -> None:  # type: ignore[override]  # our own kind
        """Mark the token used. Its row stays: a second use must be noticed."""
        refresh_token.row.used_at = self.server.now


class ClientGrant(ClientCredentialsGrant):
    """RFC 6749 §4.4: a client in its own name, for a resource it is registered for."""

    server: GrantServer

    def validate_requested_scope(self) -> None:
        """A client has no identity claims: the scopes of OpenID Connect are about people."""
        allowed = set(self.server.client.scopes) - set(SCOPES)
        if not set((cast("OAuth2Payload", self.request.payload).scope or "").split()) <= allowed:
            raise InvalidScopeError

    def generate_token(self, scope: str | None, *, include_refresh_token: bool) -> dict[str, str | int]:  # type: ignore[override]  # noqa: ARG002 - never
        """Issue an access token; with one registered resource it need not be named (RFC 9068 §3)."""
        registered = self.server.client.resources
        if not self.server.resources and len(registered) != 1:
            raise InvalidTargetError("Name the resource this token is for")
        issued = self.server.issuing.for_client(
            self.server.session,
            self.server.client,
            scope=scope or "",
            resources=_chosen(self.server.resources, registered),
            constraint=self.server.constraint,
            now=self.server.now,
        )
        return self.server.record_issued("oidc.tokens.issued", issued, family=None, account=None)

    def save_token(self, token: object) -> None:
        """Issuing wrote the row already."""


def _chosen(asked: tuple[str, ...], granted: Any) -> tuple[str, ...]:
    # RFC 8707 §2.2: a token request may name some of the granted resources, and gets all when it names none.
    if any(resource not in granted for resource in asked):
        raise InvalidTargetError
    return tuple(dict.fromkeys(asked)) or tuple(granted)


def _family_ends(account: Account, *, now: datetime) -> datetime:
    return now + FAMILY_LIFETIME[AccountKind(account.kind)]
