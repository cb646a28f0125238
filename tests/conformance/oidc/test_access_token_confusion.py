"""RFC 8725 §2 and RFC 9068 §4: what only looks like an access token of ours opens nothing."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.signing.purposes import Purpose
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jws, unverified_claims, unverified_header
from gateway.wire.signer import PrivateKeySigner, Signer
from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.tokens import EXCHANGE, exchange, introspect

pytestmark = pytest.mark.any_database
Forge = Callable[[OidcWorld, str], str]


def with_header(**members: object) -> Forge:
    """Signed by our own key, as if somebody had found a way to have it sign."""

    def forge(provider: OidcWorld, token: str) -> str:
        signer = provider.gateway.signing.current(Purpose.TOKENS)
        header = {"alg": "ES256", "typ": "at+jwt", "kid": signer.key_id} | members
        message = f"{b64url_encode(json.dumps(header).encode())}.{token.split('.')[1]}"
        return f"{message}.{b64url_encode(signer.sign(message.encode()))}"

    return forge


def signed_by(choose: Callable[[OidcWorld], Signer], **headers: object) -> Forge:
    def forge(provider: OidcWorld, token: str) -> str:
        payload = json.dumps(unverified_claims(token)).encode()
        return issue_jws(payload, typ="at+jwt", signer=choose(provider), headers=headers)

    return forge


def with_claims(change: Callable[[OidcWorld], Mapping[str, Any]]) -> Forge:
    def forge(provider: OidcWorld, token: str) -> str:
        claims = {**unverified_claims(token), **change(provider)}
        given = {name: value for name, value in claims.items() if value is not None}
        signer = provider.gateway.signing.current(Purpose.TOKENS)
        return issue_jws(json.dumps(given).encode(), typ="at+jwt", signer=signer)

    return forge


def unsigned(_provider: OidcWorld, token: str) -> str:
    header = {**unverified_header(token), "alg": "none"}
    return f"{b64url_encode(json.dumps(header).encode())}.{token.split('.')[1]}."


def hs256(secret_of: Callable[[Mapping[str, Any]], bytes]) -> Forge:
    def forge(provider: OidcWorld, token: str) -> str:
        header = {**unverified_header(token), "alg": "HS256"}
        keys = provider.gateway.signing.public_jwks(Purpose.TOKENS)
        public = next(key for key in keys if key["kid"] == header["kid"])
        message = f"{b64url_encode(json.dumps(header).encode())}.{token.split('.')[1]}"
        return f"{message}.{b64url_encode(hmac.digest(secret_of(public), message.encode(), hashlib.sha256))}"

    return forge


def our_kid(provider: OidcWorld) -> Signer:
    return PrivateKeySigner.generate("ES256", key_id=provider.gateway.signing.current(Purpose.TOKENS).key_id)


def with_a_key_inside(provider: OidcWorld, token: str) -> str:
    own = PrivateKeySigner.generate("ES256")
    return signed_by(lambda _: own, jwk=own.public_jwk())(provider, token)


FORGERIES: dict[str, Forge] = {
    "none": unsigned,
    "none with its signature": lambda provider, token: unsigned(provider, token) + token.split(".")[2],
    "HS/ES with the public key": hs256(lambda public: json.dumps(public).encode()),
    "HS/ES with a coordinate": hs256(lambda public: str(public["x"]).encode()),
    "HS with nothing": hs256(lambda _: b""),
    "another key under our kid": signed_by(our_kid),
    "an unknown kid": signed_by(lambda _: PrivateKeySigner.generate("ES256")),
    "the key of the exchange": signed_by(lambda provider: provider.gateway.signing.current(Purpose.EXCHANGE)),
    "embedded jwk": with_a_key_inside,
    "jku": with_header(jku="https://attacker.example/jwks"),
    "x5u": with_header(x5u="https://attacker.example/chain"),
    "x5c": with_header(x5c=["MIIB"]),
    "crit": with_header(crit=["exp"]),
    "b64": with_header(crit=["b64"], b64=False),
    "kid injection by path": with_header(kid="../../../../dev/null"),
    "kid injection by query": with_header(kid="x' UNION SELECT '1"),
    "no kid": with_header(kid=None),
    "wrong typ of an ID token": with_header(typ="JWT"),
    "wrong typ of an assertion": with_header(typ="client-authentication+jwt"),
    "wrong typ of a proof": with_header(typ="dpop+jwt"),
    "wrong typ of a logout notice": with_header(typ="logout+jwt"),
    "no typ": with_header(typ=None),
    "another algorithm": with_header(alg="PS256"),
    "another issuer": with_claims(lambda _: {"iss": "https://attacker.example"}),
    "a jti of nobody": with_claims(lambda _: {"jti": "guess"}),
    "no jti": with_claims(lambda _: {"jti": None}),
    "no aud": with_claims(lambda _: {"aud": None}),
    "aud of lists": with_claims(lambda _: {"aud": [[]]}),
    "no exp": with_claims(lambda _: {"exp": None}),
    "long over": with_claims(lambda _: {"exp": 1}),
    "from the future": with_claims(lambda provider: {"iat": int(provider.clock.now().timestamp()) + 600}),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_access_token_confusion(provider: OidcWorld, forgery: str) -> None:
    rp: RelyingParty = provider.relying_party(grant_types=("authorization_code", EXCHANGE))
    code, verifier = rp.code(provider.signed_in(provider.officer()))
    token = rp.redeem(code, verifier).json()["access_token"]
    forged = FORGERIES[forgery](provider, token)
    refused = rp.userinfo(forged)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    assert introspect(rp, forged) == {"active": False}
    assert exchange(rp, forged).json()["error"] == "invalid_request"
    assert rp.userinfo(token).status_code == 200


def test_a_token_whose_signature_is_changed_by_a_bit(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    code, verifier = rp.code(provider.signed_in(provider.officer()))
    token = rp.redeem(code, verifier).json()["access_token"]
    head, body, signature = token.split(".")
    for changed in (
        f"{head}.{body}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'Q'}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}A",
        f"{head}.{body}=.{signature}",
        f"{head}.{body}.{signature}.",
        f" {head}.{body}.",
        token.replace("-", "+").replace("_", "/") + "\u00e9",
    ):
        assert rp.userinfo(changed.encode("utf-8").decode("latin-1")).status_code == 401
