"""Which registrations keep to FAPI 2.0, and what is said of those that do not."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.directory.members import Client
from gateway.directory.oauth import OAuthSettings
from gateway.oidc.authorization.fapi import fapi_problems
from gateway.wire.signer import PrivateKeySigner

GOOD = OAuthSettings(fapi2=True, dpop_bound_access_tokens=True, id_token_signed_response_alg="PS256")


def client(**changes: Any) -> Client:
    values: dict[str, Any] = {
        "client_id": "specimen",
        "member_code": "dwp",
        "name": "Specimen service",
        "kinds": (),
        "keys": (PrivateKeySigner.generate("ES256").public_jwk(),),
        "redirect_uris": ("https://rp.example/callback",),
        "grant_types": ("authorization_code", "refresh_token"),
        "oauth": GOOD,
    } | changes
    return Client(**values)


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "Ed25519"])
@pytest.mark.parametrize("method", ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"])
def test_a_registration_that_keeps_to_it_has_no_problem(method: str, algorithm: str) -> None:
    keys = (PrivateKeySigner.generate(algorithm).public_jwk(),)
    assert fapi_problems(client(keys=keys, oauth=replace(GOOD, token_endpoint_auth_method=method))) == ()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint_auth_method"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "token_endpoint_auth_method"),
        ({"pkce_exempt": True}, "pkce_exempt"),
        ({"id_token_signed_response_alg": "RS256"}, "id_token_signed_response_alg"),
        ({"userinfo_signed_response_alg": "RS256"}, "userinfo_signed_response_alg"),
        ({"authorization_signed_response_alg": "RS256"}, "authorization_signed_response_alg"),
        ({"introspection_signed_response_alg": "RS256"}, "introspection_signed_response_alg"),
        ({"request_object_signing_alg": "none"}, "request_object_signing_alg"),
    ],
)
def test_a_weaker_setting_is_named(settings: dict[str, Any], named: str) -> None:
    [problem] = fapi_problems(client(oauth=replace(GOOD, **settings)))
    assert problem.startswith(named)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"grant_types": ("authorization_code", "password")}, "password"),
        ({"grant_types": ("implicit",)}, "implicit"),
        ({"keys": (PrivateKeySigner.generate("RS256").public_jwk(),)}, "is not made for"),
        ({"keys": ({"kty": "oct", "k": "x", "kid": "1"},)}, "is not made for"),
        ({"redirect_uris": ("http://rp.example/callback",)}, "http://rp.example/callback"),
        ({"redirect_uris": ("http://localhost:9/callback",)}, "http://localhost:9/callback"),
        ({"redirect_uris": ("http://localhost.attacker.example/",)}, "localhost.attacker.example"),
        ({"redirect_uris": ("example.app:/callback",)}, "example.app"),
    ],
)
def test_a_weaker_registration_is_named(changes: dict[str, Any], named: str) -> None:
    [problem] = fapi_problems(client(**changes))
    assert named in problem


def test_every_problem_is_told_at_once() -> None:
    settings = replace(GOOD, pkce_exempt=True, token_endpoint_auth_method="client_secret_post")
    assert len(fapi_problems(client(oauth=settings, redirect_uris=("http://rp.example/",)))) == 3


def test_in_a_demonstration_without_tls_loopback_may_be_without_it_too() -> None:
    assert fapi_problems(client(redirect_uris=("http://localhost:9/callback",)), plain_http=True) == ()
    assert len(fapi_problems(client(redirect_uris=("http://localhost.attacker.example/",)), plain_http=True)) == 1
