"""OIDC Discovery 1.0 and RFC 8414: what is advertised works, and what works is advertised."""

import secrets

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc.jwk import ECKey

from gateway.directory.oauth import OAuthSettings
from gateway.wire.jws import unverified_header
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, RelyingParty


def configuration(world: OidcWorld) -> dict[str, list[str] | str | bool]:
    answer = requests.get(f"{world.issuer}/.well-known/openid-configuration", timeout=10)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.headers["Content-Type"] == "application/json"
    document: dict[str, list[str] | str | bool] = answer.json()
    return document


def test_the_documents_are_what_the_specifications_ask_for(world: OidcWorld) -> None:
    document = configuration(world)
    assert document["issuer"] == world.issuer
    oauth = requests.get(f"{world.issuer}/.well-known/oauth-authorization-server", timeout=10).json()
    assert oauth == document
    # An independent reader of both specifications; it objects to plain http, which only loopback has here.
    https = {
        name: value.replace("http://", "https://") if isinstance(value, str) else value
        for name, value in document.items()
    }
    AuthorizationServerMetadata(https).validate()
    OpenIDProviderMetadata(https).validate()


def test_every_endpoint_advertised_answers(world: OidcWorld) -> None:
    document = configuration(world)
    endpoints = [name for name in document if name.endswith("_endpoint")]
    assert {"authorization_endpoint", "token_endpoint", "userinfo_endpoint"} < set(endpoints)
    for name in (*endpoints, "jwks_uri"):
        answer = requests.options(str(document[name]), timeout=10)
        assert answer.status_code == 200, name


def test_every_value_advertised_works_and_others_are_refused(world: OidcWorld, rp: RelyingParty) -> None:
    document = configuration(world)
    tokens = rp.tokens(world.browser(), world.officer(), scope=" ".join(_list(document, "scopes_supported")))
    assert set(tokens["scope"].split()) == set(_list(document, "scopes_supported"))
    for grant_type in ("password", "urn:ietf:params:oauth:grant-type:device_code", "implicit"):
        assert grant_type not in document["grant_types_supported"]  # type: ignore[operator]
        assert rp.ask(grant_type=grant_type).json()["error"] == "unsupported_grant_type"
    everything = world.relying_party(grant_types=tuple(_list(document, "grant_types_supported")))
    for grant_type in everything.client.grant_types:
        assert everything.ask(grant_type=grant_type).json().get("error") in {None, "invalid_request"}, grant_type
    browser, officer = world.browser(), world.officer()
    for algorithm in _list(document, "id_token_signing_alg_values_supported"):
        signed = world.relying_party(oauth=OAuthSettings(id_token_signed_response_alg=algorithm))
        assert unverified_header(signed.tokens(browser, officer)["id_token"])["alg"] == algorithm
    for algorithm in _list(document, "token_endpoint_auth_signing_alg_values_supported"):
        # EdDSA is the older name of Ed25519; the tests of assertions send it.
        name = "Ed25519" if algorithm == "EdDSA" else algorithm
        other = world.relying_party(signer=PrivateKeySigner.generate(name))
        assert other.ask(grant_type="client_credentials").status_code == 200
    claims = set(rp.userinfo(tokens["access_token"]).json())
    assert claims <= set(_list(document, "claims_supported"))


def test_the_keys_are_public_and_have_names(world: OidcWorld) -> None:
    answer = requests.get(str(configuration(world)["jwks_uri"]), timeout=10)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert {"kty", "kid", "alg", "use"} <= set(key)
        assert not {"d", "p", "q", "k"} & set(key)


def test_a_relying_party_on_somebody_elses_library_signs_people_in(world: OidcWorld) -> None:
    signer = PrivateKeySigner.generate("ES256")
    rp = world.relying_party(signer=signer)
    document = configuration(world)
    key = ECKey.import_key(signer.private_pem())
    with OAuth2Session(
        rp.client.client_id,
        key,
        token_endpoint_auth_method=PrivateKeyJWT(alg="ES256", headers={"kid": signer.key_id}),
        redirect_uri=rp.client.redirect_uris[0],
        scope="openid profile offline_access",
        code_challenge_method="S256",
    ) as client:
        client.trust_env = False
        verifier = secrets.token_urlsafe(48)
        address, _ = client.create_authorization_url(
            document["authorization_endpoint"], code_verifier=verifier, nonce="n"
        )
        browser = world.browser()
        answer = browser.sign_in(world.officer(), world.clock, browser.get(address))
        token = client.fetch_token(
            document["token_endpoint"], authorization_response=answer.headers["Location"], code_verifier=verifier
        )
        assert token["id_token"]
        about = client.get(str(document["userinfo_endpoint"])).json()
        assert about["name"] == "Olive Testcase"


def _list(document: dict[str, list[str] | str | bool], name: str) -> list[str]:
    values = document[name]
    assert isinstance(values, list)
    return values
