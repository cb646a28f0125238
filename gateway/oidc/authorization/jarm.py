"""Answers of the authorization endpoint as a signed JWT (JARM, OAuth 2.0 JWT Secured Authorization Response Mode).

Whoever changes an answer on its way, or shows one client's answer to another, is noticed. Errors are signed alike.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from gateway.oidc.authorization.request import Asked
from gateway.oidc.tokens.response_signing import response_signer
from gateway.signing.signing_keys import SigningKeys
from gateway.wire.jws import issue_jwt

# JARM §2.1 recommends at most ten minutes. The code inside lives for one.
LIFETIME = timedelta(minutes=5)


def sign_answer(asked: Asked, members: Mapping[str, str], *, keys: SigningKeys, now: datetime) -> str:
    """Return the members of an answer as a JWT for this client alone (JARM §2.1), by its registered algorithm (§3)."""
    signer = response_signer(keys, asked.client, asked.client.oauth.authorization_signed_response_alg)
    about = {
        "iss": asked.endpoints.issuer,
        "aud": asked.client.client_id,
        "exp": int((now + LIFETIME).timestamp()),
    }
    return issue_jwt({**members, **about}, typ="JWT", signer=signer)
