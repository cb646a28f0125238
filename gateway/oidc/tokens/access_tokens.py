"""Access tokens: RFC 9068 JWTs of a few minutes, for named resources, each with a row so that it can be taken back."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Table, bindparam, select
from sqlalchemy.orm import Session

from gateway.db import Database, insert_rows
from gateway.errors import GatewayError
from gateway.identity.caller import Presented
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.errors import BEARER, DPOP, TokenRefused
from gateway.oidc.models import AccessTokenRow, AuthorizationRow
from gateway.oidc.possession import Possession, ProofRefused, SenderConstraint, check_certificate, claim_proof
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.wire.dpop import VerifiedProof
from gateway.wire.jws import VerifiedClaims, check_claims, issue_jwt, parse_claims, verify_jws

LIFETIME = timedelta(minutes=5)
TYP = "at+jwt"
# Spelled out: the one algorithm we sign with is the one we accept, whatever a header says.
ALGORITHMS = ("ES256",)
_TABLE = cast("Table", AccessTokenRow.__table__)
# Made once: every use of a token asks this.
_FAMILY_OF = (
    select(
        AccessTokenRow.authorization_id,
        AuthorizationRow.authorization_id.label("family"),
        AuthorizationRow.revoked_at,
        AuthorizationRow.account_id,
    )
    .outerjoin(AuthorizationRow, AuthorizationRow.authorization_id == AccessTokenRow.authorization_id)
    .where(AccessTokenRow.token_hash == bindparam("token_hash"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedAccessToken:
    """A new token, how it must be shown, its `jti`, its scope and its audience.

    Without its `row` a token opens nothing: whoever issues it has the row written (`write_tokens`) and committed.
    """

    token: str = field(repr=False)
    token_type: str
    token_id: str
    scope: str
    audience: tuple[str, ...]
    lifetime: timedelta
    row: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAccessToken:
    """The claims of a token that is ours, is meant for this resource, lives, and has not been taken back."""

    claims: VerifiedClaims
    token_hash: bytes
    """Under which its row is found."""
    authorization_id: UUID | None
    """The family it belongs to; None when a client has it in its own name."""
    account_id: UUID | None
    """Whose family it is; None when there is none."""
    proof: VerifiedProof | None = None
    """The DPoP proof that came with it, which is still to be used up: `use_up`."""

    @property
    def scopes(self) -> frozenset[str]:
        """What was granted."""
        return frozenset(str(self.claims.get("scope", "")).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownToken:
    """What an `Authorization` header shows: the scheme, in small letters, and the token."""

    scheme: str
    unverified: str = field(repr=False)


def write_tokens(connection: Connection, tokens: Sequence[IssuedAccessToken]) -> None:
    """Write the rows of new tokens in the caller's transaction."""
    insert_rows(connection, _TABLE, [token.row for token in tokens])


class AccessTokens:
    """Issues and verifies the access tokens of one gateway."""

    def __init__(self, *, endpoints: Endpoints, keys: SigningKeys, possession: Possession) -> None:
        self._endpoints = endpoints
        self._keys = keys
        self._possession = possession

    def make(
        self,
        claims: Mapping[str, Any],
        *,
        client_id: str,
        scope: str,
        audience: Sequence[str],
        constraint: SenderConstraint,
        authorization_id: UUID | None,
        now: datetime,
        made_from: VerifiedAccessToken | None = None,
    ) -> IssuedAccessToken:
        """Sign a token, for which nothing is written yet; `claims` are those beyond RFC 9068's own, `sub` among them.

        A token that is `made_from` another lives no longer than that one, and is taken back with it.
        """
        token_id = secrets.token_urlsafe(24)
        issued = int(now.timestamp())
        expires = issued + int(LIFETIME.total_seconds())
        if made_from is not None:
            expires = min(expires, int(made_from.claims["exp"]))
        own = {
            "iss": self._endpoints.issuer,
            # RFC 9068 §2.2: one resource is a string, several are an array.
            "aud": audience[0] if len(audience) == 1 else list(audience),
            "client_id": client_id,
            "jti": token_id,
            "iat": issued,
            "exp": expires,
            **constraint.as_claims(),
        } | ({"scope": scope} if scope else {})
        token = issue_jwt({**claims, **own}, typ=TYP, signer=self._keys.current(Purpose.TOKENS))
        return IssuedAccessToken(
            token=token,
            token_type=constraint.token_type,
            token_id=token_id,
            scope=scope,
            audience=tuple(audience),
            lifetime=timedelta(seconds=expires - issued),
            row={
                "token_hash": hash_of(token_id),
                "authorization_id": authorization_id,
                "client_id": client_id,
                "made_from": made_from.token_hash if made_from is not None else None,
                "expires_at": datetime.fromtimestamp(expires, tz=UTC),
            },
        )

    def verify(self, session: Session, presented: Presented, *, audience: str, now: datetime) -> VerifiedAccessToken:
        """Verify the token that a request shows for one resource; raises `TokenRefused`.

        Nothing is written: a DPoP proof that came with the token is used up by `use_up`, outside this session.
        """
        shown = shown_token(presented)
        try:
            token = self.find(session, shown.unverified, now=now)
        except TokenRefused as refused:
            # RFC 9449 §7.1: the challenge is for the scheme that was tried.
            raise TokenRefused(detail=refused.detail, scheme=shown.scheme) from refused
        with about(token):
            # RFC 9068 §4, RFC 9700 §2.3: a token for another resource opens nothing here.
            if audience not in audiences_of(token.claims):
                raise TokenRefused(detail="the token is for another resource", scheme=shown.scheme)
            return replace(token, proof=self._check_sender(token.claims, shown, presented, now=now))

    def find(self, session: Session, unverified: str, *, now: datetime) -> VerifiedAccessToken:
        """Verify a token that somebody asks about, whatever its audience; raises `TokenRefused`.

        Nothing is opened by it, so that its sender holds the key it is bound to is not asked. The caller says who may
        know of it.
        """
        try:
            keys = self._keys.public_jwks(Purpose.TOKENS)
            unchecked = parse_claims(verify_jws(unverified, keys=keys, typ=TYP, algorithms=ALGORITHMS))
            named = audiences_of(unchecked)
            claims = check_claims(unchecked, issuer=self._endpoints.issuer, audience=named, now=now)
        except GatewayError as error:
            raise TokenRefused(detail=str(error)) from error
        token_hash = hash_of(str(claims.get("jti", "")))
        found = session.connection().execute(_FAMILY_OF, {"token_hash": token_hash}).one_or_none()
        # Deny by default: what we do not know, or no longer know, is refused.
        if found is None:
            raise TokenRefused(detail="unknown, or taken back")
        authorization_id: UUID | None = found.authorization_id
        if authorization_id is not None and (found.family is None or found.revoked_at is not None):
            raise TokenRefused(detail="its family was revoked")
        return VerifiedAccessToken(
            claims=claims, token_hash=token_hash, authorization_id=authorization_id, account_id=found.account_id
        )

    def _check_sender(
        self, claims: VerifiedClaims, shown: ShownToken, presented: Presented, *, now: datetime
    ) -> VerifiedProof | None:
        """RFC 9449 §7 and RFC 8705 §3: a bound token comes with what it is bound to, never as a bearer's."""
        cnf = claims.get("cnf", {})
        if ("jkt" in cnf) != (shown.scheme == DPOP):
            raise TokenRefused(detail="the token is shown by another scheme than its own", scheme=shown.scheme)
        try:
            check_certificate(cnf, presented)
            if shown.scheme != DPOP:
                return None
            proof = self._possession.proof_of(presented, access_token=shown.unverified, now=now)
        except ProofRefused as error:
            raise refused_for(error, scheme=shown.scheme) from error
        # RFC 9449 §7.1: the key of the proof is the one the token is bound to.
        if proof is None or proof.jkt != cnf["jkt"]:
            raise refused_for(ProofRefused("The proof is not made with the key that the token is bound to"))
        return proof


@contextmanager
def about(token: VerifiedAccessToken) -> Iterator[None]:
    """Let a `TokenRefused` that leaves this block say which good token it is about."""
    try:
        yield
    except TokenRefused as refused:
        refused.claims = token.claims
        raise


def audiences_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return whom a token is meant for (RFC 7519 §4.1.3)."""
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    return tuple(one for one in named if isinstance(one, str))


def use_up(database: Database, token: VerifiedAccessToken) -> None:
    """Use up the proof that came with a token, in a transaction of its own; raises `TokenRefused` at its second use."""
    if token.proof is None:
        return
    with database.write() as session:
        first = claim_proof(session, token.proof)
    if not first:
        with about(token):
            raise refused_for(ProofRefused("The DPoP proof was used before"))


def shown_token(presented: Presented) -> ShownToken:
    """Return the token of the `Authorization` header, the only place where one is looked for; `TokenRefused` if none.

    RFC 6750 §2.1 and RFC 9449 §7.1.
    """
    # Two headers leave it open which was meant.
    header = presented.authorization[0] if len(presented.authorization) == 1 else ""
    scheme, _, token = header.partition(" ")
    if scheme.lower() not in {BEARER, DPOP} or not token.strip():
        raise TokenRefused("An access token is needed", presented=False)
    return ShownToken(scheme=scheme.lower(), unverified=token.strip())


def refused_for(error: ProofRefused, *, scheme: str = DPOP) -> TokenRefused:
    """Return the answer of a resource to a proof that does not hold (RFC 9449 §7.1)."""
    code = error.code if scheme == DPOP else TokenRefused.code
    return TokenRefused(error.public, detail=error.detail, scheme=scheme, code=code)
