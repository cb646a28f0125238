"""The revocation endpoint (RFC 7009): a client gives back what it no longer needs.

A refresh token takes its whole family with it, an access token itself and what was made from it. The answer is the
same whatever became of the token: there is nothing a client could do about one that is not good any more (§2.2).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE, REFUSED
from gateway.directory.members import Client
from gateway.identity.subjects import SubjectReferences
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.errors import TokenRefused
from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.access_tokens import AccessTokens
from gateway.oidc.tokens.revocation import revoke_family


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationRequests:
    """Takes back tokens for authenticated clients."""

    access_tokens: AccessTokens
    references: SubjectReferences
    audit: AuditLog

    def revoke(self, session: Session, client: Client, token: str, *, source: str, now: datetime) -> None:
        """Take a token back, in a write transaction; one that is not known, or not this client's, stays as it is."""
        # §2.1: token_type_hint may be wrong, so both kinds are looked for; their forms never coincide.
        refresh_token = session.get(RefreshTokenRow, hash_of(token))
        if refresh_token is not None:
            family = session.get(AuthorizationRow, refresh_token.authorization_id)
            if family is not None:
                self._revoke_refresh_token(session, client, family, source=source, now=now)
            return
        self._revoke_access_token(session, client, token, source=source, now=now)

    def _revoke_refresh_token(
        self, session: Session, client: Client, family: AuthorizationRow, *, source: str, now: datetime
    ) -> None:
        facts = {"family": str(family.authorization_id), "source": source}
        # §2.1: a token is given back by the client it was issued to.
        if family.client_id != client.client_id:
            self._record(session, REFUSED, client, facts, account_id=None, now=now)
            return
        revoke_family(session, family.authorization_id, now=now)
        self._record(session, DONE, client, facts, account_id=family.account_id, now=now)

    def _revoke_access_token(self, session: Session, client: Client, token: str, *, source: str, now: datetime) -> None:
        try:
            verified = self.access_tokens.find(session, token, now=now)
        except TokenRefused:
            return
        facts = {"token": str(verified.claims["jti"]), "source": source}
        family = session.get(AuthorizationRow, verified.authorization_id) if verified.authorization_id else None
        if verified.claims["client_id"] != client.client_id:
            self._record(session, REFUSED, client, facts, account_id=None, now=now)
            return
        session.execute(delete(AccessTokenRow).where(AccessTokenRow.token_hash == verified.token_hash))
        self._record(session, DONE, client, facts, account_id=family.account_id if family else None, now=now)

    def _record(
        self,
        session: Session,
        outcome: str,
        client: Client,
        facts: dict[str, Any],
        *,
        account_id: UUID | None,
        now: datetime,
    ) -> None:
        event = Event(
            name="oidc.tokens.revoked" if outcome == DONE else "oidc.revocation.refused",
            outcome=outcome,
            members=(client.member_code,),
            details={"client": client.client_id, "member": client.member_code, **facts},
            subject=self.references.reference_of_account(account_id) if account_id is not None else None,
        )
        self.audit.append(session, event, at=now)
