"""What the tests of tokens share: ways to ask about them, and to read them with somebody else's library."""

from typing import Any

import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.wire.signer import Signer
from tests.kit.oidc_world import ASSERTION_TYPE, OidcWorld, RelyingParty
from tests.kit.pushing import dpop_proof

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def post(rp: RelyingParty, path: str, *, headers: Any = None, **parameters: Any) -> requests.Response:
    """Call an endpoint at which clients authenticate."""
    authentication = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": rp.assertion()}
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{rp.issuer}{path}", data={**authentication, **parameters}, headers=headers, timeout=10)


def introspect(rp: RelyingParty, token: str, **parameters: str) -> dict[str, Any]:
    answer = post(rp, "/introspect", token=token, **parameters)
    assert answer.status_code == 200, answer.text
    members: dict[str, Any] = answer.json()
    return members


def refresh(rp: RelyingParty, token: str, **parameters: Any) -> requests.Response:
    return rp.ask(grant_type="refresh_token", refresh_token=token, **parameters)


def with_proof(rp: RelyingParty, key: Signer, **parameters: Any) -> requests.Response:
    """Ask for tokens with a DPoP proof by this key."""
    return post(rp, "/token", headers={"DPoP": dpop_proof(rp, key, f"{rp.issuer}/token")}, **parameters)


def exchange(rp: RelyingParty, token: str, **changes: Any) -> requests.Response:
    parameters = {
        "grant_type": EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
    } | changes
    return rp.ask(**parameters)


def read_jwt(world: OidcWorld, token: str, *, algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT of the gateway's, verified by joserfc with the published keys and this algorithm."""
    keys = KeySet.import_key_set(requests.get(f"{world.issuer}/.well-known/jwks.json", timeout=10).json())
    decoded = jwt.decode(token, keys, algorithms=[algorithm])
    return decoded.header, decoded.claims
