"""Signed answers (JARM): one JWT in place of the parameters, for one client, by every way an answer travels."""

import html
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from gateway.wire.jws import unverified_claims, unverified_header, verify_jwt
from tests.kit.oidc_world import REDIRECT_URI, OidcWorld, RelyingParty
from tests.kit.pushing import address_of, asked, by_value, fapi_party, push, pushed, request_object

ES256 = OAuthSettings(authorization_signed_response_alg="ES256")


def opened(provider: OidcWorld, rp: RelyingParty, response: str, *, algorithm: str = "ES256") -> dict[str, Any]:
    """Read an answer as the client does that it is for."""
    keys = requests.get(f"{provider.issuer}/.well-known/jwks.json", timeout=5).json()["keys"]
    return verify_jwt(
        response,
        keys=keys,
        typ="JWT",
        algorithms=[algorithm],
        issuer=provider.issuer,
        audience=rp.client.client_id,
        now=provider.clock.now(),
    )


def response_in(part: str) -> str:
    """The one parameter of an answer."""
    [(name, value)] = parse_qsl(part)
    assert name == "response"
    return value


@pytest.mark.parametrize("mode", ["jwt", "query.jwt"])
def test_a_code_travels_in_a_jwt(provider: OidcWorld, mode: str) -> None:
    rp = provider.relying_party(oauth=ES256)
    address, verifier = rp.request(response_mode=mode, state="s 1&2")
    answer = provider.signed_in(provider.officer()).get(address)
    claims = opened(provider, rp, response_in(urlsplit(answer.headers["Location"]).query))
    assert set(claims) == {"iss", "aud", "exp", "code", "state"}
    assert claims["state"] == "s 1&2"
    assert claims["aud"] == rp.client.client_id
    assert 0 < claims["exp"] - provider.clock.now().timestamp() <= 600
    assert rp.redeem(claims["code"], verifier).status_code == 200


def test_a_code_travels_in_a_jwt_in_the_fragment(provider: OidcWorld) -> None:
    rp = provider.relying_party(oauth=ES256)
    answer = provider.signed_in(provider.officer()).get(rp.request(response_mode="fragment.jwt")[0])
    parts = urlsplit(answer.headers["Location"])
    assert parts.query == ""
    assert "code" in opened(provider, rp, response_in(parts.fragment))


def test_a_code_travels_in_a_jwt_in_a_form(provider: OidcWorld) -> None:
    rp = provider.relying_party(oauth=ES256)
    page = provider.signed_in(provider.officer()).get(rp.request(response_mode="form_post.jwt")[0])
    assert page.status_code == 200
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.text))
    assert set(fields) == {"response"}
    assert "code" in opened(provider, rp, html.unescape(fields["response"]))


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "RS256"])
def test_an_answer_is_signed_by_the_algorithm_registered(provider: OidcWorld, algorithm: str) -> None:
    rp = provider.relying_party(oauth=OAuthSettings(authorization_signed_response_alg=algorithm))
    answer = provider.signed_in(provider.officer()).get(rp.request(response_mode="jwt")[0])
    opened(provider, rp, response_in(urlsplit(answer.headers["Location"]).query), algorithm=algorithm)


def test_an_answer_is_signed_by_rs256_unless_registered_otherwise_and_under_fapi_never(provider: OidcWorld) -> None:
    browser = provider.signed_in(provider.officer())
    rp, under_fapi = provider.relying_party(), fapi_party(provider)
    for address, algorithm in (
        (rp.request(response_mode="jwt")[0], "RS256"),
        (address_of(under_fapi, pushed(under_fapi, response_mode="jwt")[0]), "PS256"),
    ):
        response = response_in(urlsplit(browser.get(address).headers["Location"]).query)
        assert unverified_header(response)["alg"] == algorithm


@pytest.mark.parametrize(
    ("asked_for", "error"),
    [({"prompt": "none"}, "login_required"), ({"response_type": "token"}, "unsupported_response_type")],
)
def test_an_error_is_signed_as_well(provider: OidcWorld, asked_for: dict[str, str], error: str) -> None:
    rp = provider.relying_party(oauth=ES256)
    answer = provider.browser().get(rp.request(response_mode="jwt", state="s", **asked_for)[0])
    parts = urlsplit(answer.headers["Location"])
    # JARM §2.3: of a type that would have brought a token, the default is the fragment.
    claims = opened(provider, rp, response_in(parts.fragment or parts.query))
    assert (claims["error"], claims["state"]) == (error, "s")
    assert bool(parts.fragment) is ("response_type" in asked_for)


def test_a_signed_answer_to_a_signed_and_pushed_request(provider: OidcWorld) -> None:
    rp = fapi_party(provider, require_signed_request_object=True, authorization_signed_response_alg="ES256")
    reference = push(rp, [("request", request_object(rp, response_mode="jwt")[0])]).json()["request_uri"]
    answer = provider.signed_in(provider.officer()).get(address_of(rp, reference, response_mode="query"))
    assert "code" in opened(provider, rp, response_in(urlsplit(answer.headers["Location"]).query))


def test_a_mode_nobody_knows_is_refused_by_the_default_mode(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    answer = provider.browser().get(rp.request(response_mode="pigeon.jwt")[0])
    assert dict(parse_qsl(urlsplit(answer.headers["Location"]).query))["error"] == "invalid_request"
    assert push(rp, asked(rp, response_mode="pigeon.jwt")[0]).json()["error"] == "invalid_request"


def test_jarm_substitution_between_clients(provider: OidcWorld) -> None:
    """An answer to one client says so: another that checks `aud` does not take it, and its code is worth nothing."""
    rp, thief = provider.relying_party(oauth=ES256), provider.relying_party(oauth=ES256)
    answer = provider.signed_in(provider.officer()).get(rp.request(response_mode="jwt")[0])
    response = response_in(urlsplit(answer.headers["Location"]).query)
    with pytest.raises(Exception, match="aud does not name this recipient"):
        opened(provider, thief, response)
    assert thief.redeem(unverified_claims(response)["code"], "v" * 43).json()["error"] == "invalid_grant"


def test_a_signed_answer_is_neither_a_request_nor_an_assertion(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(oauth=ES256), provider.signed_in(provider.officer())
    answer = browser.get(rp.request(response_mode="jwt")[0])
    response = response_in(urlsplit(answer.headers["Location"]).query)
    told = dict(
        parse_qsl(urlsplit(browser.get(by_value(rp, response, redirect_uri=REDIRECT_URI)).headers["Location"]).query)
    )
    assert told["error"] == "invalid_request_object"
    assert rp.ask(grant_type="client_credentials", assertion=response).json()["error"] == "invalid_client"
    hinted = browser.get(rp.request(id_token_hint=response, response_mode="query")[0])
    assert "error=invalid_request" in hinted.headers["Location"]
