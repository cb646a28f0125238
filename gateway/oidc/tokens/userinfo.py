"""The UserInfo endpoint (OIDC Core §5.3): claims about the person, for the client that they signed in to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.directory.members import find_client
from gateway.identity.accounts import find_account
from gateway.identity.caller import Presented
from gateway.oidc.claims_request import ClaimsRequest
from gateway.oidc.errors import ScopeMissing, TokenRefused
from gateway.oidc.models import AuthorizationRow
from gateway.oidc.tokens.access_tokens import VerifiedAccessToken, about, use_up
from gateway.oidc.tokens.claims import claims_for, officer_claims
from gateway.oidc.tokens.issuing import Issuing
from gateway.oidc.tokens.response_signing import response_signer
from gateway.wire.jws import issue_jwt


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """The claims; `signed` is the same as a JWT, for a client that registered for that (OIDC Core §5.3.2)."""

    members: Mapping[str, Any] = field(repr=False)
    signed: str | None = field(repr=False)


def userinfo_for(database: Database, presented: Presented, *, issuing: Issuing, now: datetime) -> UserInfo:
    """Return what the presented access token opens; raises `TokenRefused` or `ScopeMissing`.

    A DPoP proof that came with it is used up.
    """
    with database.read() as session:
        token = issuing.access_tokens.verify(session, presented, audience=issuing.endpoints.userinfo, now=now)
        with about(token):
            answer = _answer(session, token, issuing=issuing, now=now)
    use_up(database, token)
    return answer


def _answer(session: Session, token: VerifiedAccessToken, *, issuing: Issuing, now: datetime) -> UserInfo:
    if "openid" not in token.scopes:
        raise ScopeMissing
    family = session.get(AuthorizationRow, token.authorization_id) if token.authorization_id else None
    client = find_client(session, str(token.claims.get("client_id")))
    account = find_account(session, family.account_id) if family is not None else None
    # A suspended person, or a disabled client, has nothing here from that moment on.
    if family is None or client is None or account is None:
        raise TokenRefused(detail="the account or client is not active")
    # RFC 8693: who acts for an officer at other resources learns nothing about them here.
    if family.client_id != client.client_id:
        raise TokenRefused(detail="the person did not sign in to this client")
    members = {
        # OIDC Core §5.3.2: exactly the sub of the ID token, which made it; a token for several resources may differ.
        "sub": issuing.pairwise.sub_for(session, account.account_id, client.sector, at=now),
        **claims_for(
            account, client=client, scopes=token.scopes, asked=ClaimsRequest.from_stored(family.claims).userinfo
        ),
        **officer_claims(account),
    }
    signed = None
    if client.oauth.userinfo_signed_response_alg is not None:
        # Without `exp` and `nonce`, so that it can be taken for no ID token.
        claims = {**members, "iss": issuing.endpoints.issuer, "aud": client.client_id, "iat": int(now.timestamp())}
        signer = response_signer(issuing.keys, client, client.oauth.userinfo_signed_response_alg)
        signed = issue_jwt(claims, typ="JWT", signer=signer)
    return UserInfo(members=members, signed=signed)
