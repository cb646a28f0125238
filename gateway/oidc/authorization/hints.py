"""Whom a request names: the `sub` of an ID token given back as a hint, or a `sub` asked for by value."""

from sqlalchemy.orm import Session

from gateway.directory.members import Client
from gateway.identity.pairwise import Pairwise
from gateway.oidc.authorization.person import Wanted
from gateway.oidc.authorization.request import AuthorizationRequest
from gateway.oidc.errors import AuthorizationRefused
from gateway.oidc.tokens.id_token import TYP
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.wire.errors import InvalidClaims, InvalidJws, InvalidSignature
from gateway.wire.jws import parse_claims, verify_jws

ALGORITHMS = ("ES256", "RS256", "PS256")


def whom_it_names(session: Session, request: AuthorizationRequest, *, keys: SigningKeys, pairwise: Pairwise) -> Wanted:
    """Return whose answer it may be; raises `AuthorizationRefused` for a hint that is no ID token of this client."""
    hint = request.asked.parameters.one("id_token_hint")
    asked = request.claims.id_token.get("sub"), request.claims.userinfo.get("sub")
    # OIDC Core §3.1.2.1 and §5.5.1: each of them names one person, and all of them have to name the same.
    named = [{str(value) for value in claim.values} for claim in asked if claim is not None and claim.values]
    if hint is not None:
        named.append({hinted_sub(hint, client=request.client, issuer=request.asked.endpoints.issuer, keys=keys)})
    if not named:
        return Wanted()
    sector = request.client.sector
    accounts = [{pairwise.find_account(session, sub, sector) for sub in subs} - {None} for subs in named]
    return Wanted(accounts=frozenset(found for found in set.intersection(*accounts) if found is not None))


def hinted_sub(hint: str, *, client: Client, issuer: str, keys: SigningKeys) -> str:
    """Return the `sub` of an ID token that we once issued to this client, however long ago.

    Raises `AuthorizationRefused` (`invalid_request`). OIDC Core §3.1.2.1: the token may have expired, and we need not
    be among its audience.
    """
    try:
        # A hint may be older than the key that signed it; what a revoked key signed is worth nothing.
        known = (*keys.public_jwks(Purpose.TOKENS), *keys.past_jwks())
        verified = verify_jws(hint, keys=known, typ=TYP, algorithms=ALGORITHMS)
        claims = parse_claims(verified)
    except (InvalidJws, InvalidSignature, InvalidClaims) as error:
        raise AuthorizationRefused("invalid_request", "id_token_hint is not an ID token of ours") from error
    audience, sub = claims.get("aud"), claims.get("sub")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != issuer or client.client_id not in audiences or not isinstance(sub, str):
        raise AuthorizationRefused("invalid_request", "id_token_hint is not an ID token of this client")
    return sub
