"""Introspection: a resource server learns what a token is worth, under its own name for the person; others nothing."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.identity.accounts import suspend_account
from gateway.wire.jws import unverified_claims
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, Person, RelyingParty
from tests.kit.tokens import introspect, post, read_jwt, refresh, with_proof

API = "https://cases.council.example/v1"
SIGNED = "application/token-introspection+jwt"


def with_api(provider: OidcWorld, **changes: Any) -> RelyingParty:
    """A client that may call a member's own resource server."""
    return provider.relying_party(resources=(API, provider.sharing), **changes)


def server_of_api(provider: OidcWorld, **settings: Any) -> RelyingParty:
    return provider.relying_party(grant_types=(), oauth=OAuthSettings(serves_resources=(API,), **settings))


def tokens_of(provider: OidcWorld, rp: RelyingParty, person: Person, **asked: Any) -> dict[str, Any]:
    code, verifier = rp.code(provider.signed_in(person), **asked)
    tokens: dict[str, Any] = rp.redeem(code, verifier).json()
    return tokens


def test_a_resource_server_hears_what_a_token_for_it_is_worth(provider: OidcWorld) -> None:
    rp, server = with_api(provider), server_of_api(provider)
    tokens = tokens_of(provider, rp, provider.officer(), resource=API, scope="openid email")
    told = introspect(server, tokens["access_token"])
    claims = unverified_claims(tokens["access_token"])
    assert told.pop("active") is True
    assert told.pop("token_type") == "Bearer"
    sub = told.pop("sub")
    names = ("iss", "aud", "client_id", "scope", "iat", "exp", "acr", "auth_time")
    # Neither a name nor an address, whatever the scope.
    assert told == {name: claims[name] for name in names}
    assert introspect(server, tokens["access_token"], token_type_hint="refresh_token")["sub"] == sub


def test_no_two_sectors_learn_one_name_of_a_person(provider: OidcWorld) -> None:
    rp, server, officer = with_api(provider), server_of_api(provider), provider.officer()
    tokens = tokens_of(provider, rp, officer, resource=API)
    known_to_client = unverified_claims(tokens["id_token"])["sub"]
    in_the_token = unverified_claims(tokens["access_token"])["sub"]
    told_to_server = introspect(server, tokens["access_token"])["sub"]
    assert len({known_to_client, in_the_token, told_to_server}) == 3
    # Each hears its own, always the same.
    assert introspect(rp, tokens["access_token"])["sub"] == known_to_client
    later = tokens_of(provider, rp, officer, resource=API)
    assert introspect(server, later["access_token"])["sub"] == told_to_server
    signed_in_there = provider.relying_party(sector=server.client.sector)
    assert unverified_claims(tokens_of(provider, signed_in_there, officer)["id_token"])["sub"] == told_to_server


def test_whoever_has_nothing_to_do_with_a_token_hears_that_it_is_not_active(provider: OidcWorld) -> None:
    rp, stranger = with_api(provider), with_api(provider)
    token = tokens_of(provider, rp, provider.officer(), resource=API)["access_token"]
    # To be allowed to call a resource is not to be its server.
    assert introspect(stranger, token) == {"active": False}
    assert introspect(server_of_api(provider), tokens_of(provider, rp, provider.officer())["access_token"]) == {
        "active": False
    }
    assert len(provider.events("oidc.introspection.refused")) == 2


@pytest.mark.parametrize(
    "ending", ["expired", "revoked", "suspended", "disabled", "resource lost", "garbage", "an ID token"]
)
def test_a_token_that_is_not_good_any_more_is_not_active_and_why_is_not_told(provider: OidcWorld, ending: str) -> None:
    rp, server, officer = with_api(provider), server_of_api(provider), provider.officer()
    tokens = tokens_of(provider, rp, officer, resource=API)
    token = tokens["access_token"]
    assert introspect(server, token)["active"] is True
    if ending == "expired":
        provider.advance(minutes=6)
    elif ending == "revoked":
        assert post(rp, "/revoke", token=token).status_code == 200
    elif ending == "suspended":
        with provider.gateway.database.write() as session:
            suspend_account(session, officer.account.account_id, at=provider.clock.now())
    elif ending == "disabled":
        provider.change_client(replace(rp.client, active=False))
    elif ending == "resource lost":
        provider.change_client(replace(rp.client, resources=(provider.sharing,)))
    elif ending == "garbage":
        token = token[:-6] + "AAAAAA"
    else:
        token = tokens["id_token"]
    assert introspect(server, token) == {"active": False}


def test_a_refresh_token_is_its_own_clients_business(provider: OidcWorld) -> None:
    rp, server = with_api(provider), server_of_api(provider)
    tokens = tokens_of(provider, rp, provider.officer(), resource=API, scope="openid offline_access")
    token = tokens["refresh_token"]
    told = introspect(rp, token, token_type_hint="access_token")
    assert (told["active"], told["client_id"]) == (True, rp.client.client_id)
    assert told["sub"] == unverified_claims(tokens["id_token"])["sub"]
    assert introspect(server, token) == {"active": False}
    refresh(rp, token)
    assert introspect(rp, token) == {"active": False}


@pytest.mark.parametrize(("registered", "algorithm"), [(None, "RS256"), ("ES256", "ES256"), ("PS256", "PS256")])
def test_a_signed_answer_is_for_its_asker_alone(provider: OidcWorld, registered: str | None, algorithm: str) -> None:
    rp, server = with_api(provider), server_of_api(provider, introspection_signed_response_alg=registered)
    token = tokens_of(provider, rp, provider.officer(), resource=API)["access_token"]
    answer = post(server, "/introspect", headers={"Accept": SIGNED}, token=token)
    assert answer.headers["Content-Type"] == SIGNED
    header, claims = read_jwt(provider, answer.text, algorithm=algorithm)
    assert header["typ"] == "token-introspection+jwt"
    assert (claims["iss"], claims["aud"]) == (provider.issuer, server.client.client_id)
    assert not {"sub", "exp"} & set(claims)
    assert claims["token_introspection"] == introspect(server, token)
    inactive = post(server, "/introspect", headers={"Accept": SIGNED}, token="x")
    assert read_jwt(provider, inactive.text, algorithm=algorithm)[1]["token_introspection"] == {"active": False}


def test_a_bound_token_says_to_which_key(provider: OidcWorld) -> None:
    rp, server, key = with_api(provider), server_of_api(provider), PrivateKeySigner.generate("ES256")
    token = with_proof(rp, key, grant_type="client_credentials", resource=API).json()["access_token"]
    told = introspect(server, token)
    assert told["cnf"] == {"jkt": key.key_id}
    assert told["token_type"] == "DPoP"
    assert told["sub"] == told["client_id"] == rp.client.client_id


def test_only_the_first_look_at_a_token_is_an_entry_of_the_log(provider: OidcWorld) -> None:
    rp, server = with_api(provider), server_of_api(provider)
    token = tokens_of(provider, rp, provider.officer(), resource=API)["access_token"]
    for _ in range(3):
        introspect(server, token)
        introspect(rp, token)
    (seen,) = provider.events("oidc.token.introspected")
    assert (seen["client"], seen["through"]) == (server.client.client_id, rp.client.client_id)


def test_who_asks_proves_who_it_is(provider: OidcWorld) -> None:
    rp = with_api(provider)
    token = tokens_of(provider, rp, provider.officer(), resource=API)["access_token"]
    impostor = replace(rp, signer=PrivateKeySigner.generate("ES256"))
    for path in ("/introspect", "/revoke"):
        answer = post(impostor, path, token=token)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        missing = post(rp, path)
        assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
    assert rp.userinfo(token).status_code == 401  # for another resource
    assert introspect(rp, token)["active"] is True
