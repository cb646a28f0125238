"""FAPI 2.0 Security Profile §5.3.2: a client that keeps to it is never served by anything weaker."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import Answer, OidcWorld
from tests.kit.pushing import address_of, asked, by_value, dpop_proof, fapi_party, push, pushed, request_object


def test_a_request_that_is_not_pushed(provider: OidcWorld) -> None:
    rp, browser = fapi_party(provider), provider.signed_in(provider.officer())
    for address in (rp.request(state="s")[0], by_value(rp, request_object(rp, state="s")[0])):
        told = Answer(address=browser.get(address).headers["Location"]).parameters
        assert (told["error"], told["state"], told["iss"]) == ("invalid_request", "s", provider.issuer)


DOWNGRADES: dict[str, tuple[dict[str, Any], str]] = {
    "PKCE left out": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "PKCE plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "PKCE plain by omission": ({"code_challenge_method": None}, "invalid_request"),
    "a token in the address": ({"response_type": "token"}, "unsupported_response_type"),
    "a hybrid answer": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "a code in the fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "a signed code in the fragment": ({"response_mode": "fragment.jwt"}, "invalid_request"),
    "no redirect_uri": ({"redirect_uri": None}, "invalid_request"),
}


@pytest.mark.parametrize("downgrade", DOWNGRADES)
def test_a_weaker_request_is_refused_when_it_is_pushed(provider: OidcWorld, downgrade: str) -> None:
    changes, error = DOWNGRADES[downgrade]
    # Not even where somebody registered that it may.
    rp = fapi_party(provider, pkce_exempt=True)
    answer = push(rp, asked(rp, **changes)[0])
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_answer_in_the_clear(provider: OidcWorld) -> None:
    rp = fapi_party(provider)
    elsewhere = "http://rp.example/callback"
    provider.change_client(replace(rp.client, redirect_uris=(*rp.client.redirect_uris, elsewhere)))
    answer = push(rp, asked(rp, redirect_uri=elsewhere)[0])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_client_that_became_weaker_after_it_pushed(provider: OidcWorld) -> None:
    rp, browser = fapi_party(provider), provider.signed_in(provider.officer())
    reference, _ = pushed(rp)
    weaker = replace(rp.client.oauth, token_endpoint_auth_method="client_secret_basic")
    provider.change_client(replace(rp.client, oauth=weaker))
    told = Answer(address=browser.get(address_of(rp, reference)).headers["Location"]).parameters
    assert told["error"] == "unauthorized_client"


def test_a_request_that_must_be_signed_and_is_not(provider: OidcWorld) -> None:
    rp = fapi_party(provider, require_signed_request_object=True)
    answer = push(rp, asked(rp)[0])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("mode", [None, "query", "form_post"])
def test_an_answer_that_must_be_signed_and_is_not(provider: OidcWorld, mode: str | None) -> None:
    rp = fapi_party(provider, authorization_signed_response_alg="PS256")
    answer = push(rp, asked(rp, response_mode=mode)[0])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert push(rp, asked(rp, response_mode="jwt")[0]).status_code == 201


@pytest.mark.parametrize("audience", ["token", "par", "both"])
def test_an_assertion_for_anything_but_the_issuer(provider: OidcWorld, audience: str) -> None:
    rp = fapi_party(provider)
    meant: dict[str, Any] = {
        "token": f"{rp.issuer}/token",
        "par": f"{rp.issuer}/par",
        "both": [rp.issuer],
    }
    answer = push(rp, asked(rp)[0], assertion=rp.assertion(aud=meant[audience]))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_dpop_key_named_is_not_the_one_that_is_proved(provider: OidcWorld) -> None:
    rp, key, other = fapi_party(provider), PrivateKeySigner.generate("ES256"), PrivateKeySigner.generate("ES256")
    proof = dpop_proof(rp, key, f"{rp.issuer}/par")
    answer = push(rp, asked(rp, dpop_jkt=other.public_jwk()["kid"])[0], headers={"DPoP": proof})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


PROOFS: dict[str, dict[str, Any]] = {
    "for another endpoint": {"htu": "http://localhost/token"},
    "for another method": {"htm": "GET"},
    "from long ago": {"iat": 1},
}


@pytest.mark.parametrize("wrong", PROOFS)
def test_a_proof_that_does_not_hold_is_refused_at_par(provider: OidcWorld, wrong: str) -> None:
    rp, key = fapi_party(provider), PrivateKeySigner.generate("ES256")
    proof = dpop_proof(rp, key, f"{rp.issuer}/par", **PROOFS[wrong])
    answer = push(rp, asked(rp)[0], headers={"DPoP": proof})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
    (event,) = provider.events("oidc.request.refused")
    assert event["reason"] == "invalid_dpop_proof"


def test_a_proof_at_par_is_used_once(provider: OidcWorld) -> None:
    rp, key = fapi_party(provider), PrivateKeySigner.generate("ES256")
    proof = dpop_proof(rp, key, f"{rp.issuer}/par")
    assert push(rp, asked(rp)[0], headers={"DPoP": proof}).status_code == 201
    assert push(rp, asked(rp)[0], headers={"DPoP": proof}).json()["error"] == "invalid_dpop_proof"
