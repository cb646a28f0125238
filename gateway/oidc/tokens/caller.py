"""Who is calling a guarded resource: an access token turned into `identity`'s `Caller`."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.directory.members import Client, find_client
from gateway.identity.accounts import AccountKind, find_account
from gateway.identity.caller import ActingOfficer, Caller, Presented
from gateway.oidc.errors import TokenRefused
from gateway.oidc.tokens.access_tokens import AccessTokens, VerifiedAccessToken, about, use_up


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerOfResource:
    """A `CallerFromRequest` for one resource."""

    database: Database
    access_tokens: AccessTokens
    resource: str

    def __call__(self, presented: Presented, now: datetime) -> Caller:
        """Return who is calling; raises `TokenRefused`, whose `www_authenticate` is RFC 6750's or RFC 9449's challenge.

        Signature, type, issuer, audience, times and revocation are `access_tokens`' business; that client and person
        are active, and the client still has this resource, is asked here and now. A DPoP proof is used up.
        """
        with self.database.read() as session:
            token = self.access_tokens.verify(session, presented, audience=self.resource, now=now)
            with about(token):
                caller = self._caller(session, token)
        use_up(self.database, token)
        return caller

    def _caller(self, session: Session, token: VerifiedAccessToken) -> Caller:
        client = find_client(session, str(token.claims.get("client_id")))
        if client is None or self.resource not in client.resources:
            raise TokenRefused(detail="the client is not active, or lost this resource")
        return Caller(
            client=client,
            officer=_officer(session, token, client),
            scopes=token.scopes,
            token_id=str(token.claims["jti"]),
            expires_at=_instant(token.claims["exp"]),
        )


def _officer(session: Session, token: VerifiedAccessToken, client: Client) -> ActingOfficer | None:
    if token.authorization_id is None:
        # RFC 9068 §2.2: in its own name, a client is the token's subject.
        if token.claims.get("sub") != client.client_id:
            raise TokenRefused(detail="no family, and not the client's own")
        return None
    account = find_account(session, token.account_id) if token.account_id is not None else None
    if account is None or account.kind is not AccountKind.OFFICER or account.member_code is None:
        raise TokenRefused(detail="not an active officer")
    check_actors(session, token)
    return ActingOfficer(
        account_id=account.account_id,
        sub=str(token.claims["sub"]),
        # As they are now, not as they were when the token was issued: a role taken away is gone at once.
        member_code=account.member_code,
        roles=tuple(role for role in account.roles if role in token.claims.get("roles", ())),
        acr=str(token.claims["acr"]),
        auth_time=_instant(token.claims["auth_time"]),
    )


def check_actors(session: Session, token: VerifiedAccessToken) -> None:
    """RFC 8693 §4.1: each system that acts through another may still do so, and all are active; or `TokenRefused`."""
    actor = token.claims.get("act")
    while actor is not None and (before := actor.get("act")) is not None:
        system = find_client(session, actor["sub"])
        if system is None or before["sub"] not in system.oauth.may_act_through:
            raise TokenRefused(detail="may not act through that system any more")
        if find_client(session, before["sub"]) is None:
            raise TokenRefused(detail="a system that was acted through is not active")
        actor = before


def _instant(numeric_date: float) -> datetime:
    return datetime.fromtimestamp(numeric_date, tz=UTC)
