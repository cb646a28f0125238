"""From an authorization to tokens: what each says about the person and the client."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Table
from sqlalchemy.orm import Session

from gateway.db import insert_rows
from gateway.directory.members import Client
from gateway.identity.accounts import Account, AccountKind
from gateway.identity.pairwise import Pairwise
from gateway.identity.subjects import SubjectReferences
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.claims_request import ClaimAsked, ClaimsRequest
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.possession import SenderConstraint
from gateway.oidc.tokens.access_tokens import (
    LIFETIME,
    AccessTokens,
    IssuedAccessToken,
    VerifiedAccessToken,
    write_tokens,
)
from gateway.oidc.tokens.claims import claims_for, officer_claims
from gateway.oidc.tokens.id_token import issue_id_token
from gateway.oidc.tokens.response_signing import response_signer
from gateway.signing.signing_keys import SigningKeys
from gateway.wire.encoding import b64url_encode

# An officer signs in again every working day (NIST SP 800-63B §2.2.3); a citizen's service may remember a month.
FAMILY_LIFETIME = {AccountKind.OFFICER: timedelta(hours=12), AccountKind.CITIZEN: timedelta(days=30)}


_REFRESH_TOKENS = cast("Table", RefreshTokenRow.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """What a client receives; `access` also tells the log which token it was.

    None of it opens anything before its rows are written (`write_tokens`, `write_refresh_tokens`) and committed.
    """

    access: IssuedAccessToken = field(repr=False)
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    refresh_row: Mapping[str, Any] | None = field(default=None, repr=False)

    def as_response(self) -> dict[str, Any]:
        """Return the members of a token response (RFC 6749 §5.1, OIDC Core §3.1.3.3)."""
        members = {
            "access_token": self.access.token,
            "token_type": self.access.token_type,
            "expires_in": int(self.access.lifetime.total_seconds()),
            "scope": self.access.scope or None,
            "id_token": self.id_token,
            "refresh_token": self.refresh_token,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """For whom tokens are issued, and which of what was granted they are to hold."""

    client: Client
    scope: str
    resources: Sequence[str]
    constraint: SenderConstraint


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """Makes every kind of token of one gateway."""

    endpoints: Endpoints
    keys: SigningKeys
    access_tokens: AccessTokens
    pairwise: Pairwise
    references: SubjectReferences

    def for_person(
        self,
        session: Session,
        family: AuthorizationRow,
        account: Account,
        asked: Asked,
        *,
        sub: str,
        family_ends: datetime | None,
        nonce: str | None,
        now: datetime,
    ) -> IssuedTokens:
        """Make tokens about a person, whom the client knows as `sub`; a refresh token too when `family_ends` says so.

        The caller writes their rows, as `write_issued` does.
        """
        about = _sign_in(family) | officer_claims(account) | {"sub": sub}
        access = self._access_token(session, family, account, asked, about=about, now=now)
        id_token = None
        # OIDC Core §3.1.2.1: without openid it is plain OAuth, which knows no ID token.
        if "openid" in asked.scope.split():
            id_token = issue_id_token(
                about | self._for_id_token_alone(family, account, asked),
                issuer=self.endpoints.issuer,
                client_id=asked.client.client_id,
                access_token=access.token,
                nonce=nonce,
                signer=response_signer(self.keys, asked.client, asked.client.oauth.id_token_signed_response_alg),
                now=now,
            )
        if family_ends is None:
            return IssuedTokens(access=access, id_token=id_token)
        refresh_token = secrets.token_urlsafe(32)
        row = {
            "token_hash": hash_of(refresh_token),
            "authorization_id": family.authorization_id,
            "issued_at": now,
            "expires_at": family_ends,
        }
        return IssuedTokens(access=access, id_token=id_token, refresh_token=refresh_token, refresh_row=row)

    def is_ours(self, resources: Sequence[str]) -> bool:
        """Tell whether all of these are the gateway's own resources."""
        return set(resources) <= {self.endpoints.sharing, self.endpoints.userinfo}

    def for_client(self, asked: Asked, *, now: datetime) -> IssuedTokens:
        """Make an access token for a client in its own name: `sub` is the client itself (RFC 9068 §2.2).

        The caller writes its row.
        """
        access = self.access_tokens.make(
            {"sub": asked.client.client_id},
            client_id=asked.client.client_id,
            scope=asked.scope,
            audience=asked.resources,
            constraint=asked.constraint,
            authorization_id=None,
            now=now,
        )
        return IssuedTokens(access=access)

    def for_actor(
        self,
        session: Session,
        family: AuthorizationRow,
        officer: Account,
        asked: Asked,
        *,
        shown: VerifiedAccessToken,
        actor: Mapping[str, Any],
        now: datetime,
    ) -> IssuedTokens:
        """Make an access token for a system that acts for an officer (RFC 8693 §4.1), made from the one it showed.

        The caller writes its row.
        """
        about = _sign_in(family) | {
            "sub": self.pairwise.sub_for(session, officer.account_id, asked.client.sector, at=now),
            "act": dict(actor),
            "member": officer.member_code,
            # A role that the token shown does not have was given since, and is for the next sign-in.
            "roles": [role for role in officer.roles if role in shown.claims.get("roles", ())],
        }
        access = self._access_token(session, family, officer, asked, about=about, now=now, made_from=shown)
        return IssuedTokens(access=access)

    def _access_token(
        self,
        session: Session,
        family: AuthorizationRow,
        account: Account,
        asked: Asked,
        *,
        about: Mapping[str, Any],
        now: datetime,
        made_from: VerifiedAccessToken | None = None,
    ) -> IssuedAccessToken:
        if not self.is_ours(asked.resources):
            # Whoever receives a token can read it. Under the client's `sub`, a client and a member's own resource
            # server would have a name for the person in common; so it holds one that neither uses for anything else,
            # and introspection tells each its own.
            between = hash_of("\x00".join((asked.client.sector, *sorted(asked.resources))))
            sub = self.pairwise.sub_for(session, account.account_id, f"token:{b64url_encode(between)}", at=now)
            about = {**about, "sub": sub}
        return self.access_tokens.make(
            about,
            client_id=asked.client.client_id,
            scope=asked.scope,
            audience=asked.resources,
            constraint=asked.constraint,
            authorization_id=family.authorization_id,
            now=now,
            made_from=made_from,
        )

    def _for_id_token_alone(self, family: AuthorizationRow, account: Account, asked: Asked) -> dict[str, Any]:
        client = asked.client
        # An officer acts under their name. A citizen's stays out of ID tokens, which travel in addresses as hints,
        # unless the client asks for it there by name (OIDC Core §5.5).
        named = account.kind is AccountKind.OFFICER and "profile" in asked.scope.split()
        by_name = ({"name": ClaimAsked()} if named else {}) | dict(ClaimsRequest.from_stored(family.claims).id_token)
        return {
            "amr": list(family.methods),
            "sid": self.references.session_reference(family.session_id, client_id=client.client_id),
            **claims_for(account, client=client, scopes=(), asked=by_name),
        }


def _sign_in(family: AuthorizationRow) -> dict[str, Any]:
    # Strength and time are those of the sign-in: neither refreshing nor exchanging ever raises them.
    return {"auth_time": int(family.auth_time.timestamp()), "acr": family.acr}


def write_refresh_tokens(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of new refresh tokens in the caller's transaction."""
    insert_rows(connection, _REFRESH_TOKENS, rows)


def write_issued(session: Session, family: AuthorizationRow, issued: IssuedTokens, *, now: datetime) -> None:
    """Write the rows of tokens about a person in the caller's transaction."""
    write_tokens(session.connection(), (issued.access,))
    if issued.refresh_row is not None:
        write_refresh_tokens(session.connection(), (issued.refresh_row,))
    family.expires_at = needed_until(family, issued, now=now)


def needed_until(family: AuthorizationRow, issued: IssuedTokens, *, now: datetime) -> datetime:
    """Return until when the family's row is kept: every token asks it, so it outlives all of them."""
    ends: datetime = now if issued.refresh_row is None else issued.refresh_row["expires_at"]
    return max(family.expires_at, ends + LIFETIME)
