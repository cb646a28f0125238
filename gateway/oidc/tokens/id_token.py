"""The ID token (OIDC Core §2): who signed in, how strongly and when, for one client alone."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jwt
from gateway.wire.signer import Signer

LIFETIME = timedelta(minutes=5)
TYP = "JWT"


def issue_id_token(
    about: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    access_token: str,
    nonce: str | None,
    signer: Signer,
    now: datetime,
) -> str:
    """Sign an ID token; `about` are the claims about the person and the sign-in.

    The client is the only audience, so there is no `azp` (OIDC Core §2: it is for tokens with another audience).
    """
    issued = int(now.timestamp())
    claims = {
        **about,
        "iss": issuer,
        "aud": client_id,
        "iat": issued,
        "exp": issued + int(LIFETIME.total_seconds()),
        "at_hash": at_hash(access_token),
    } | ({"nonce": nonce} if nonce is not None else {})
    return issue_jwt(claims, typ=TYP, signer=signer)


def at_hash(access_token: str) -> str:
    """Return the left half of the token's SHA-256 (OIDC Core §3.1.3.6).

    That is the hash of ES256, RS256 and PS256 alike, with which ID tokens are signed.
    """
    return b64url_encode(hashlib.sha256(access_token.encode("ascii")).digest()[:16])
