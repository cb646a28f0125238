"""Signed requests (RFC 9101): by value and pushed, in place of everything beside them."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import REDIRECT_URI, Answer, OidcWorld
from tests.kit.pushing import (
    address_of,
    asked,
    by_value,
    fapi_party,
    push,
    reference_in,
    request_claims,
    request_object,
)


def answered(provider: OidcWorld, address: str) -> dict[str, str]:
    """What the relying party is told about somebody who is signed in."""
    return Answer(address=provider.signed_in(provider.officer()).get(address).headers["Location"]).parameters


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "RS256", "Ed25519"])
def test_a_signed_request_is_answered(provider: OidcWorld, algorithm: str) -> None:
    rp = provider.relying_party(signer=PrivateKeySigner.generate(algorithm))
    request, verifier = request_object(rp, state="inside")
    told = answered(provider, by_value(rp, request, state="outside"))
    assert told["state"] == "inside"
    if algorithm != "RS256":  # with which no client authenticates
        assert rp.redeem(told["code"], verifier).status_code == 200


@pytest.mark.parametrize(
    "typ", ["oauth-authz-req+jwt", "OautH-auThZ-REQ+jWt", "application/oauth-authz-req+jwt", "JWT"]
)
def test_the_types_that_software_sends_are_accepted(provider: OidcWorld, typ: str) -> None:
    rp = provider.relying_party()
    assert "code" in answered(provider, by_value(rp, request_object(rp, typ=typ)[0]))


def test_a_signed_request_survives_a_sign_in(provider: OidcWorld) -> None:
    rp, officer, browser = provider.relying_party(), provider.officer(), provider.browser()
    now = int(provider.clock.now().timestamp())
    request, verifier = request_object(rp, exp=now + 60)
    page = browser.get(by_value(rp, request))
    provider.advance(minutes=20)
    answer = browser.sign_in(officer, provider.clock, page)
    assert rp.redeem(Answer(address=answer.headers["Location"]).parameters["code"], verifier).status_code == 200


def test_several_resources_claims_and_numbers_are_json(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    request, verifier = request_object(
        rp,
        resource=[f"{provider.issuer}/userinfo", provider.sharing],
        claims={"userinfo": {"email": None}},
        max_age=600,
    )
    told = answered(provider, by_value(rp, request))
    tokens = rp.redeem(told["code"], verifier, resource=f"{provider.issuer}/userinfo").json()
    assert "email" in rp.userinfo(tokens["access_token"]).json()


@pytest.mark.parametrize(
    "wrong", [{"prompt": ["login"]}, {"max_age": "soon"}, {"scope": ["openid"]}, {"nonce": "\x00"}]
)
def test_what_is_not_of_its_type_is_refused_rather_than_left_out(provider: OidcWorld, wrong: dict[str, Any]) -> None:
    rp = provider.relying_party()
    assert "error" in answered(provider, by_value(rp, request_object(rp, **wrong)[0], redirect_uri=REDIRECT_URI))


def test_a_request_may_be_meant_for_others_too(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    request, _ = request_object(rp, aud=["https://elsewhere.example", provider.issuer])
    assert "code" in answered(provider, by_value(rp, request))


def test_clocks_may_be_ten_seconds_apart(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    now = int(provider.clock.now().timestamp())
    assert "code" in answered(provider, by_value(rp, request_object(rp, nbf=now + 8, iat=now + 8)[0]))


def test_a_signed_request_is_pushed(provider: OidcWorld) -> None:
    rp = provider.relying_party(oauth=OAuthSettings(require_signed_request_object=True))
    request, verifier = request_object(rp, state="inside")
    reference = reference_in(push(rp, [("request", request), ("client_id", rp.client.client_id), ("state", "outside")]))
    told = answered(provider, address_of(rp, reference))
    assert told["state"] == "inside"
    assert rp.redeem(told["code"], verifier).status_code == 200


def test_a_client_registered_to_sign_signs(provider: OidcWorld) -> None:
    rp = provider.relying_party(oauth=OAuthSettings(require_signed_request_object=True))
    assert answered(provider, rp.request()[0])["error"] == "invalid_request"
    assert push(rp, asked(rp)[0]).json()["error"] == "invalid_request"
    assert "code" in answered(provider, by_value(rp, request_object(rp)[0]))


def test_a_client_signs_with_the_algorithm_it_registered(provider: OidcWorld) -> None:
    one, other = PrivateKeySigner.generate("ES256"), PrivateKeySigner.generate("Ed25519")
    rp = provider.relying_party(
        signer=one,
        keys=(one.public_jwk(), other.public_jwk()),
        # The older name of the same algorithm (RFC 9864).
        oauth=OAuthSettings(request_object_signing_alg="EdDSA"),
    )
    refused = answered(provider, by_value(rp, request_object(rp)[0], redirect_uri=REDIRECT_URI))
    assert refused["error"] == "invalid_request_object"
    assert "code" in answered(provider, by_value(rp, request_object(rp, signer=other)[0]))


def test_a_request_without_a_client_id_inside_is_for_its_issuer(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    assert "code" in answered(provider, by_value(rp, request_object(rp, client_id=None)[0]))


def test_under_fapi_the_client_id_is_inside_too(provider: OidcWorld) -> None:
    rp = fapi_party(provider)
    refused = push(rp, [("request", request_object(rp, client_id=None)[0])])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request_object")


def test_a_key_that_was_taken_back_signs_nothing(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    request, _ = request_object(rp)
    provider.change_client(replace(rp.client, keys=(PrivateKeySigner.generate("ES256").public_jwk(),)))
    refused = answered(provider, by_value(rp, request, redirect_uri=REDIRECT_URI))
    assert refused["error"] == "invalid_request_object"


def test_a_refused_request_is_told_with_state_where_the_client_registered_it(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    told = answered(provider, by_value(rp, "x.y.z", redirect_uri=REDIRECT_URI, state="s"))
    assert (told["error"], told["state"], told["iss"]) == ("invalid_request_object", "s", provider.issuer)
    page = provider.browser().get(by_value(rp, "x.y.z", redirect_uri="https://attacker.example/"))
    assert (page.status_code, "Location" in page.headers) == (400, False)
    claims, _ = request_claims(rp)
    assert claims["redirect_uri"] == REDIRECT_URI
