"""The UserInfo endpoint (OIDC Core §5.3): claims about the person, by the scopes their client was granted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from gateway.db import Database
from gateway.directory.members import find_client
from gateway.identity.accounts import Account, AccountKind, find_account
from gateway.identity.caller import Presented
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import ScopeMissing, TokenRefused
from gateway.oidc.models import AuthorizationRow
from gateway.oidc.tokens.access_tokens import AccessTokens, use_up
from gateway.wire.dpop import VerifiedProof


def claims_for_token(
    database: Database,
    presented: Presented,
    *,
    access_tokens: AccessTokens,
    endpoints: Endpoints,
    now: datetime,
) -> dict[str, Any]:
    """Return the claims that the presented access token opens; raises `TokenRefused` or `ScopeMissing`.

    A DPoP proof that came with it is used up.
    """
    with database.read() as session:
        claims, proof = _claims_and_proof(session, presented, access_tokens=access_tokens, endpoints=endpoints, now=now)
    use_up(database, proof)
    return claims


def _claims_and_proof(
    session: Session, presented: Presented, *, access_tokens: AccessTokens, endpoints: Endpoints, now: datetime
) -> tuple[dict[str, Any], VerifiedProof | None]:
    token = access_tokens.verify(session, presented, audience=endpoints.userinfo, now=now)
    if "openid" not in token.scopes:
        raise ScopeMissing
    family = session.get(AuthorizationRow, token.authorization_id) if token.authorization_id else None
    account = find_account(session, family.account_id) if family is not None else None
    # A suspended person, or a disabled client, has nothing here from that moment on.
    if account is None or find_client(session, str(token.claims.get("client_id"))) is None:
        raise TokenRefused(detail="the account or client is not active")
    return {"sub": token.claims["sub"], **claims_about(account, token.scopes)}, token.proof


def claims_about(account: Account, scopes: frozenset[str]) -> dict[str, Any]:
    """Return the standard claims of OIDC Core §5.4 that these scopes open, and an officer's member and roles."""
    claims: dict[str, Any] = {}
    if "profile" in scopes:
        claims |= {"name": account.name, "given_name": account.given_name, "family_name": account.family_name}
        claims |= _birthdate(account)
    if "email" in scopes:
        claims |= {"email": account.email, "email_verified": account.email_verified}
    if account.kind is AccountKind.OFFICER:
        claims |= {"member": account.member_code, "roles": list(account.roles)}
    return claims


def _birthdate(account: Account) -> Mapping[str, str]:
    return {"birthdate": account.birthdate.isoformat()} if account.birthdate is not None else {}
