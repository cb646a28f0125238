"""Access tokens: RFC 9068 JWTs of a few minutes, for named resources, each with a row so that it can be taken back."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from gateway.errors import GatewayError
from gateway.identity.caller import Presented
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import TokenRefused
from gateway.oidc.models import AccessTokenRow, AuthorizationRow
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.wire.jws import VerifiedClaims, issue_jwt, verify_jwt

LIFETIME = timedelta(minutes=5)
TYP = "at+jwt"
# Spelled out: the one algorithm we sign with is the one we accept, whatever a header says.
ALGORITHMS = ("ES256",)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedAccessToken:
    """A new token, its `jti`, its scope and its audience."""

    token: str
    token_id: str
    scope: str
    audience: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAccessToken:
    """The claims of a token that is ours, is meant for this resource, lives, and has not been taken back."""

    claims: VerifiedClaims
    authorization_id: UUID | None
    """The family it belongs to; None when a client has it in its own name."""

    @property
    def scopes(self) -> frozenset[str]:
        """What was granted."""
        return frozenset(str(self.claims.get("scope", "")).split())


class AccessTokens:
    """Issues and verifies the access tokens of one gateway."""

    def __init__(self, *, endpoints: Endpoints, keys: SigningKeys) -> None:
        self._endpoints = endpoints
        self._keys = keys

    def issue(
        self,
        session: Session,
        claims: Mapping[str, Any],
        *,
        client_id: str,
        scope: str,
        audience: Sequence[str],
        authorization_id: UUID | None,
        now: datetime,
    ) -> IssuedAccessToken:
        """Write the token's row and sign it; `claims` are those beyond RFC 9068's own, `sub` among them."""
        token_id = secrets.token_urlsafe(24)
        issued = int(now.timestamp())
        session.add(
            AccessTokenRow(
                token_hash=hash_of(token_id),
                authorization_id=authorization_id,
                client_id=client_id,
                expires_at=now + LIFETIME,
            )
        )
        own = {
            "iss": self._endpoints.issuer,
            # RFC 9068 §2.2: one resource is a string, several are an array.
            "aud": audience[0] if len(audience) == 1 else list(audience),
            "client_id": client_id,
            "jti": token_id,
            "iat": issued,
            "exp": issued + int(LIFETIME.total_seconds()),
        } | ({"scope": scope} if scope else {})
        token = issue_jwt({**claims, **own}, typ=TYP, signer=self._keys.current(Purpose.TOKENS))
        return IssuedAccessToken(token=token, token_id=token_id, scope=scope, audience=tuple(audience))

    def verify(self, session: Session, presented: Presented, *, audience: str, now: datetime) -> VerifiedAccessToken:
        """Verify the token that a request shows for one resource; raises `TokenRefused`."""
        unverified = bearer_token(presented)
        try:
            claims = verify_jwt(
                unverified,
                keys=self._keys.public_jwks(Purpose.TOKENS),
                typ=TYP,
                algorithms=ALGORITHMS,
                issuer=self._endpoints.issuer,
                audience=audience,
                now=now,
            )
        except GatewayError as error:
            raise TokenRefused(detail=str(error)) from error
        row = session.get(AccessTokenRow, hash_of(str(claims.get("jti", ""))))
        # Deny by default: what we do not know, or no longer know, is refused.
        if row is None:
            raise TokenRefused(detail="unknown, or taken back")
        if row.authorization_id is not None:
            family = session.get(AuthorizationRow, row.authorization_id)
            if family is None or family.revoked_at is not None:
                raise TokenRefused(detail="its family was revoked")
        return VerifiedAccessToken(claims=claims, authorization_id=row.authorization_id)


def bearer_token(presented: Presented) -> str:
    """Return the token of a Bearer header (RFC 6750 §2.1), the only place where one is looked for."""
    # Two headers leave it open which was meant.
    header = presented.authorization[0] if len(presented.authorization) == 1 else ""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenRefused("An access token is needed", presented=False)
    return token.strip()
