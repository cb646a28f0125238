"""ID tokens and userinfo: signed as the client registered, with the claims that are its business."""

import base64
import hashlib
import json
from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.tokens import read_jwt


def signed_in_tokens(rp: RelyingParty, provider: OidcWorld, *, citizen: bool = False, **asked: Any) -> dict[str, Any]:
    person = provider.citizen() if citizen else provider.officer()
    code, verifier = rp.code(provider.signed_in(person), **asked)
    answer = rp.redeem(code, verifier)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


@pytest.mark.parametrize(
    ("registered", "algorithm"),
    [({}, "RS256"), *(({"id_token_signed_response_alg": name}, name) for name in ("RS256", "PS256", "ES256"))],
    ids=["omitted", "RS256", "PS256", "ES256"],
)
def test_id_tokens_are_signed_as_registered(provider: OidcWorld, registered: dict[str, Any], algorithm: str) -> None:
    rp = provider.relying_party(oauth=OAuthSettings(**registered))
    tokens = signed_in_tokens(rp, provider, nonce="n-1")
    header, claims = read_jwt(provider, tokens["id_token"], algorithm=algorithm)
    assert header["typ"] == "JWT"
    half = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
    assert claims["at_hash"] == base64.urlsafe_b64encode(half).rstrip(b"=").decode()
    assert (claims["aud"], claims["nonce"], claims["acr"]) == (rp.client.client_id, "n-1", "AAL2")
    assert "azp" not in claims
    assert {"auth_time", "sid", "amr", "iat", "exp", "sub"} <= set(claims)
    # RFC 9068 and our design: whoever verifies access tokens needs one algorithm.
    assert read_jwt(provider, tokens["access_token"], algorithm="ES256")[0]["typ"] == "at+jwt"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_userinfo_is_a_jwt_for_a_client_that_registered_for_that(
    provider: OidcWorld, method: str, algorithm: str
) -> None:
    rp = provider.relying_party(oauth=OAuthSettings(userinfo_signed_response_alg=algorithm))
    tokens = signed_in_tokens(rp, provider, scope="openid email")
    answer = rp.userinfo(tokens["access_token"], method=method)
    assert answer.headers["Content-Type"] == "application/jwt"
    _, claims = read_jwt(provider, answer.text, algorithm=algorithm)
    assert (claims["iss"], claims["aud"]) == (provider.issuer, rp.client.client_id)
    assert claims["sub"] == read_jwt(provider, tokens["id_token"], algorithm="RS256")[1]["sub"]
    assert claims["email"].endswith("@council.example")
    # It must not pass for an ID token.
    assert not {"exp", "nonce", "at_hash"} & set(claims)


def test_a_token_may_be_sent_in_the_body_of_a_post_but_in_one_place_alone(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    token = signed_in_tokens(rp, provider)["access_token"]
    in_body = rp.userinfo("", headers={}, method="POST", data={"access_token": token})
    assert in_body.status_code == 200
    assert in_body.json()["sub"]
    for answer in (
        rp.userinfo(token, method="POST", data={"access_token": token}),
        rp.userinfo("", headers={}, method="POST", data=[("access_token", token), ("access_token", token)]),
    ):
        assert answer.status_code == 400
        assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]
    # A body of another kind, or of a GET, is not looked at.
    assert rp.userinfo("", headers={}, method="POST", json={"access_token": token}).status_code == 401
    assert rp.userinfo("", headers={}, method="GET", data={"access_token": token}).status_code == 401
    assert rp.userinfo("", headers={}, params={"access_token": token}).status_code == 401


CITIZEN_CLAIMS = {"name", "given_name", "family_name", "birthdate", "email", "email_verified"}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("openid", set()),
        ("openid email", {"email", "email_verified"}),
        ("openid profile", {"name", "given_name", "family_name", "birthdate"}),
    ],
)
def test_a_scope_opens_its_own_claims(provider: OidcWorld, scope: str, expected: set[str]) -> None:
    rp = provider.relying_party()
    tokens = signed_in_tokens(rp, provider, citizen=True, scope=scope)
    assert set(rp.userinfo(tokens["access_token"]).json()) == {"sub"} | expected
    # A citizen's claims stay out of ID tokens.
    assert not CITIZEN_CLAIMS & set(read_jwt(provider, tokens["id_token"], algorithm="ES256")[1])


def test_single_claims_are_told_where_they_were_asked_for(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    asked = {
        "userinfo": {"given_name": None, "email": {"essential": True}, "phone_number": {"essential": True}},
        "id_token": {"birthdate": None, "email": {"value": "somebody.else@council.example"}, "acr": None},
    }
    tokens = signed_in_tokens(rp, provider, citizen=True, claims=json.dumps(asked))
    userinfo = rp.userinfo(tokens["access_token"]).json()
    # What we do not hold is left out, essential or not.
    assert set(userinfo) == {"sub", "given_name", "email"}
    _, claims = read_jwt(provider, tokens["id_token"], algorithm="ES256")
    assert claims["birthdate"] == "1990-01-01"
    # A claim asked for with a value that is not this person's is not told.
    assert "email" not in claims
    assert claims["acr"]


def test_a_claim_is_not_told_to_a_client_without_the_scope_it_belongs_to(provider: OidcWorld) -> None:
    rp = provider.relying_party(scopes=("openid", "email"))
    asked = {"userinfo": {"name": {"essential": True}, "email": None}, "id_token": {"name": None, "birthdate": None}}
    tokens = signed_in_tokens(rp, provider, citizen=True, claims=json.dumps(asked))
    assert set(rp.userinfo(tokens["access_token"]).json()) == {"sub", "email"}
    assert not {"name", "birthdate"} & set(read_jwt(provider, tokens["id_token"], algorithm="ES256")[1])


def test_without_openid_there_is_no_id_token_and_no_userinfo(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    code, verifier = rp.code(provider.signed_in(provider.officer()), scope="email", nonce=None)
    tokens = rp.redeem(code, verifier).json()
    assert "id_token" not in tokens
    assert rp.userinfo(tokens["access_token"]).status_code in {401, 403}
