"""From an authorization to tokens: what each says about the person and the client."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.identity.accounts import Account, AccountKind
from gateway.identity.pairwise import Pairwise
from gateway.identity.subjects import SubjectReferences
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.possession import SenderConstraint
from gateway.oidc.tokens.access_tokens import LIFETIME, AccessTokens, IssuedAccessToken
from gateway.oidc.tokens.id_token import issue_id_token
from gateway.signing.signing_keys import Purpose, SigningKeys

# An officer signs in again every working day (NIST SP 800-63B §2.2.3); a citizen's service may remember a month.
FAMILY_LIFETIME = {AccountKind.OFFICER: timedelta(hours=12), AccountKind.CITIZEN: timedelta(days=30)}


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedTokens:
    """What a client receives; `access` also tells the log which token it was."""

    access: IssuedAccessToken = field(repr=False)
    id_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)

    def as_response(self) -> dict[str, str | int]:
        """Return the members of a token response (RFC 6749 §5.1, OIDC Core §3.1.3.3)."""
        members: dict[str, str | int | None] = {
            "access_token": self.access.token,
            "token_type": self.access.token_type,
            "expires_in": int(LIFETIME.total_seconds()),
            "scope": self.access.scope or None,
            "id_token": self.id_token,
            "refresh_token": self.refresh_token,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """Issues every kind of token of one gateway."""

    endpoints: Endpoints
    keys: SigningKeys
    access_tokens: AccessTokens
    pairwise: Pairwise
    references: SubjectReferences

    def for_person(
        self,
        session: Session,
        authorization: AuthorizationRow,
        *,
        client: Client,
        account: Account,
        scope: str,
        resources: Sequence[str],
        family_ends: datetime | None,
        nonce: str | None,
        constraint: SenderConstraint,
        now: datetime,
    ) -> IssuedTokens:
        """Issue tokens about a person; a refresh token too when `family_ends` says until when."""
        about = self._about(session, authorization, client=client, account=account, now=now)
        access = self.access_tokens.issue(
            session,
            {name: about[name] for name in about if name not in {"sid", "amr"}},
            client_id=client.client_id,
            scope=scope,
            audience=resources,
            constraint=constraint,
            authorization_id=authorization.authorization_id,
            now=now,
        )
        id_token = issue_id_token(
            about | _officer_name(account, scope),
            issuer=self.endpoints.issuer,
            client_id=client.client_id,
            access_token=access.token,
            nonce=nonce,
            signer=self.keys.current(Purpose.TOKENS),
            now=now,
        )
        refresh_token = None
        if family_ends is not None:
            refresh_token = _issue_refresh_token(session, authorization, expires_at=family_ends, now=now)
        # The family's row, which every token asks, outlives all of them.
        authorization.expires_at = max(authorization.expires_at, (family_ends or now) + LIFETIME)
        return IssuedTokens(access=access, id_token=id_token, refresh_token=refresh_token)

    def for_client(
        self,
        session: Session,
        client: Client,
        *,
        scope: str,
        resources: Sequence[str],
        constraint: SenderConstraint,
        now: datetime,
    ) -> IssuedTokens:
        """Issue an access token to a client in its own name: `sub` is the client itself (RFC 9068 §2.2)."""
        access = self.access_tokens.issue(
            session,
            {"sub": client.client_id},
            client_id=client.client_id,
            scope=scope,
            audience=resources,
            constraint=constraint,
            authorization_id=None,
            now=now,
        )
        return IssuedTokens(access=access)

    def _about(
        self, session: Session, authorization: AuthorizationRow, *, client: Client, account: Account, now: datetime
    ) -> dict[str, Any]:
        # Strength and time are those of the sign-in: refreshing never raises them.
        about: dict[str, Any] = {
            "sub": self.pairwise.sub_for(session, account.account_id, client.sector, at=now),
            "auth_time": int(authorization.auth_time.timestamp()),
            "acr": authorization.acr,
            "amr": list(authorization.methods),
            "sid": self.references.session_reference(authorization.session_id, client_id=client.client_id),
        }
        if account.kind is AccountKind.OFFICER:
            about |= {"member": account.member_code, "roles": list(account.roles)}
        return about


def _officer_name(account: Account, scope: str) -> dict[str, str]:
    # An officer acts under their name. A citizen's stays out of ID tokens, which travel in addresses as hints.
    named = account.kind is AccountKind.OFFICER and "profile" in scope.split()
    return {"name": account.name} if named else {}


def _issue_refresh_token(
    session: Session, authorization: AuthorizationRow, *, expires_at: datetime, now: datetime
) -> str:
    token = secrets.token_urlsafe(32)
    session.add(
        RefreshTokenRow(
            token_hash=hash_of(token),
            authorization_id=authorization.authorization_id,
            issued_at=now,
            expires_at=expires_at,
        )
    )
    return token
