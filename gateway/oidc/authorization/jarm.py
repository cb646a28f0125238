"""Answers of the authorization endpoint as a signed JWT (JARM, OAuth 2.0 JWT Secured Authorization Response Mode).

Whoever changes an answer on its way, or shows one client's answer to another, is noticed. Errors are signed alike.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from gateway.directory.members import Client
from gateway.oidc.endpoints import Endpoints
from gateway.wire.jws import issue_jwt
from gateway.wire.signer import Signer

# JARM §2.3: how the JWT travels. `jwt` alone is the default way of the response type, which is the query for a code.
MODES = {"jwt": "query", "query.jwt": "query", "fragment.jwt": "fragment", "form_post.jwt": "form_post"}
# JARM §2.1 recommends at most ten minutes. The code inside lives for one.
LIFETIME = timedelta(minutes=5)
DEFAULT_ALGORITHM = "RS256"  # JARM §3


def algorithm_for(client: Client) -> str:
    """Return the algorithm with which this client's answers are signed."""
    return client.oauth.authorization_signed_response_alg or DEFAULT_ALGORITHM


def sign_answer(
    members: Mapping[str, str], *, client: Client, endpoints: Endpoints, signer: Signer, now: datetime
) -> str:
    """Return the members of an answer as a JWT for this client alone (JARM §2.1)."""
    about = {
        "iss": endpoints.issuer,
        "aud": client.client_id,
        "exp": int((now + LIFETIME).timestamp()),
    }
    return issue_jwt({**members, **about}, typ="JWT", signer=signer)
