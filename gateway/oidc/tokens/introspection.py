"""Introspection (RFC 7662, signed: RFC 9701): a resource server asks what a token it was shown is worth.

Told to the token's own client, and to a client that is registered to serve one of its audiences. Everybody else, and
whoever asks about a token that is not good, hears `{"active": false}` and never why.

Each member hears its own name for the person: `sub` is in the sector of whoever asks.

The first time that a resource server asks about a token is an entry of the log, for it learns about a person. To ask
again tells it nothing new, and an entry for each would make the log grow with every call that it serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE, REFUSED
from gateway.directory.members import Client, find_client
from gateway.identity.accounts import Account, find_account
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.errors import TokenRefused
from gateway.oidc.models import AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.access_tokens import VerifiedAccessToken, audiences_of
from gateway.oidc.tokens.caller import check_actors
from gateway.oidc.tokens.issuing import Issuing
from gateway.oidc.tokens.response_signing import response_signer
from gateway.once.once import first_use
from gateway.wire.jws import issue_jwt

SIGNED = "application/token-introspection+jwt"
"""The media type of a signed answer, and what its asker accepts (RFC 9701 §4)."""
TYP = "token-introspection+jwt"
INACTIVE: Mapping[str, Any] = {"active": False}
# Of an access token's claims, those a resource server may hear as they are. Never a name or an address.
_AS_THEY_ARE = ("iss", "aud", "client_id", "scope", "iat", "exp", "cnf", "act", "acr", "auth_time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspected:
    """What is told about a token; `signed` is the same as a JWT, where that was asked for."""

    members: Mapping[str, Any] = field(repr=False)
    signed: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """A good token: what it says, and of whom. `account` None: a client has it in its own name."""

    members: Mapping[str, Any]
    client: Client
    account: Account | None
    token_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """Answers authenticated clients that ask about tokens."""

    issuing: Issuing
    audit: AuditLog

    def answer(
        self, session: Session, asker: Client, token: str, *, signed: bool, source: str, now: datetime
    ) -> Introspected:
        """Answer one question, in a write transaction: a sector may hear of a person for the first time."""
        members = self._members(session, asker, token, source=source, now=now)
        return Introspected(members=members, signed=self._signed(asker, members, now=now) if signed else None)

    def _members(self, session: Session, asker: Client, token: str, *, source: str, now: datetime) -> Mapping[str, Any]:
        # RFC 7662 §2.1: token_type_hint may be wrong, so both kinds are looked for; their forms never coincide.
        facts = self._access_token(session, token, now=now) or self._refresh_token(session, token, now=now)
        if facts is None:
            return INACTIVE
        own = facts.client.client_id == asker.client_id
        # RFC 7662 §4: who may ask about which token. Deny by default; a refresh token is nobody else's business. A
        # resource that its client has lost meanwhile is not opened any more, as at our own resource.
        opened = set(audiences_of(facts.members)) & set(facts.client.resources)
        if not own and not set(asker.oauth.serves_resources) & opened:
            self._record(session, "oidc.introspection.refused", REFUSED, asker, facts, source=source, now=now)
            return INACTIVE
        if not own:
            self._record_first(session, asker, facts, source=source, now=now)
        return {"active": True, **facts.members, "sub": self._sub(session, asker, facts, now=now)}

    def _access_token(self, session: Session, token: str, *, now: datetime) -> TokenFacts | None:
        try:
            verified = self.issuing.access_tokens.find(session, token, now=now)
            check_actors(session, verified)
        except TokenRefused:
            return None
        client = find_client(session, str(verified.claims["client_id"]))
        account = _account(session, verified)
        # A suspended person or a disabled client has nothing that is still good.
        if client is None or (account is None) != (verified.authorization_id is None):
            return None
        claims = verified.claims
        members = {name: claims[name] for name in _AS_THEY_ARE if name in claims}
        token_type = "DPoP" if "jkt" in claims.get("cnf", {}) else "Bearer"
        return TokenFacts(
            members={**members, "token_type": token_type},
            client=client,
            account=account,
            token_id=str(claims["jti"]),
        )

    def _refresh_token(self, session: Session, token: str, *, now: datetime) -> TokenFacts | None:
        row = session.get(RefreshTokenRow, hash_of(token))
        family = session.get(AuthorizationRow, row.authorization_id) if row is not None else None
        if row is None or family is None or row.used_at is not None or row.expires_at <= now or family.revoked_at:
            return None
        client, account = find_client(session, family.client_id), find_account(session, family.account_id)
        if client is None or account is None:
            return None
        members = {
            "iss": self.issuing.endpoints.issuer,
            "client_id": family.client_id,
            "scope": family.scope,
            "iat": int(row.issued_at.timestamp()),
            "exp": int(row.expires_at.timestamp()),
        }
        return TokenFacts(members=members, client=client, account=account, token_id="")

    def _sub(self, session: Session, asker: Client, facts: TokenFacts, *, now: datetime) -> str:
        if facts.account is None:
            return facts.client.client_id
        return self.issuing.pairwise.sub_for(session, facts.account.account_id, asker.sector, at=now)

    def _signed(self, asker: Client, members: Mapping[str, Any], *, now: datetime) -> str:
        # RFC 9701 §5: without `sub` or `exp` outside, so that it can be taken for no token.
        claims = {
            "iss": self.issuing.endpoints.issuer,
            "aud": asker.client_id,
            "iat": int(now.timestamp()),
            "token_introspection": dict(members),
        }
        signer = response_signer(self.issuing.keys, asker, asker.oauth.introspection_signed_response_alg)
        return issue_jwt(claims, typ=TYP, signer=signer)

    def _record_first(self, session: Session, asker: Client, facts: TokenFacts, *, source: str, now: datetime) -> None:
        # Kept past the last moment at which the token would still be good.
        ends = datetime.fromtimestamp(facts.members["exp"], tz=UTC) + timedelta(minutes=1)
        if first_use(session, kind="introspection", owner=asker.client_id, value=facts.token_id, expires_at=ends):
            self._record(session, "oidc.token.introspected", DONE, asker, facts, source=source, now=now)

    def _record(
        self, session: Session, name: str, outcome: str, asker: Client, facts: TokenFacts, *, source: str, now: datetime
    ) -> None:
        account = facts.account
        event = Event(
            name=name,
            outcome=outcome,
            members=tuple(dict.fromkeys((asker.member_code, facts.client.member_code))),
            details={
                "client": asker.client_id,
                "member": asker.member_code,
                "through": facts.client.client_id,
                "token": facts.token_id,
                "source": source,
            },
            subject=self.issuing.references.reference_of_account(account.account_id) if account else None,
        )
        self.audit.append(session, event, at=now)


def _account(session: Session, verified: VerifiedAccessToken) -> Account | None:
    family = session.get(AuthorizationRow, verified.authorization_id) if verified.authorization_id else None
    return find_account(session, family.account_id) if family is not None else None
