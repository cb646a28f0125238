"""Revocation: a client gives back its own tokens, and the answer tells nothing about others'."""

from typing import Any

import pytest

from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.tokens import introspect, post, refresh


def offline_tokens(provider: OidcWorld, rp: RelyingParty) -> dict[str, Any]:
    code, verifier = rp.code(provider.signed_in(provider.officer()), scope="openid offline_access")
    tokens: dict[str, Any] = rp.redeem(code, verifier).json()
    return tokens


@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "access_token"}, {"token_type_hint": "something_else"}])
def test_a_refresh_token_takes_its_family_with_it(provider: OidcWorld, hint: dict[str, str]) -> None:
    rp = provider.relying_party()
    tokens = offline_tokens(provider, rp)
    answer = post(rp, "/revoke", token=tokens["refresh_token"], **hint)
    assert (answer.status_code, answer.content) == (200, b"")
    assert rp.userinfo(tokens["access_token"]).status_code == 401
    assert refresh(rp, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    (revoked,) = provider.events("oidc.tokens.revoked")
    assert revoked["client"] == rp.client.client_id


def test_an_access_token_goes_alone(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    tokens = offline_tokens(provider, rp)
    assert post(rp, "/revoke", token=tokens["access_token"], token_type_hint="refresh_token").status_code == 200
    assert rp.userinfo(tokens["access_token"]).status_code == 401
    renewed = refresh(rp, tokens["refresh_token"]).json()
    assert rp.userinfo(renewed["access_token"]).status_code == 200


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_another_clients_token_stays_and_the_attempt_is_recorded(provider: OidcWorld, kind: str) -> None:
    rp, other = provider.relying_party(), provider.relying_party()
    tokens = offline_tokens(provider, rp)
    assert post(other, "/revoke", token=tokens[kind]).status_code == 200
    assert introspect(rp, tokens[kind])["active"] is True
    (refused,) = provider.events("oidc.revocation.refused")
    assert refused["client"] == other.client.client_id
    assert provider.events("oidc.tokens.revoked") == []


def test_what_is_no_token_is_taken_back_already(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    for nothing in ("x", "a.b.c", offline_tokens(provider, rp)["id_token"]):
        assert post(rp, "/revoke", token=nothing).status_code == 200
