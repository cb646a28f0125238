"""RFC 9700 §4.10 and RFC 8725 §2.8: a token, or a code, is worth something to its own client and audience alone."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.identity.caller import Presented
from gateway.oidc.errors import TokenRefused
from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.tokens import ACCESS_TOKEN, EXCHANGE, exchange, introspect, post, refresh

API = "https://cases.council.example/v1"


@pytest.fixture
def victim(provider: OidcWorld) -> RelyingParty:
    """A client that signs JWTs of every kind that there is."""
    settings = OAuthSettings(id_token_signed_response_alg="ES256", userinfo_signed_response_alg="ES256")
    return provider.relying_party(oauth=settings, resources=(provider.sharing, API))


@pytest.fixture
def tokens(provider: OidcWorld, victim: RelyingParty) -> dict[str, Any]:
    code, verifier = victim.code(provider.signed_in(provider.officer()), scope="openid offline_access", resource=())
    answer: dict[str, Any] = victim.redeem(code, verifier).json()
    return answer


def sharing_takes(provider: OidcWorld, token: str) -> bool:
    shown = Presented(
        method="POST",
        endpoint=provider.gateway.provider.endpoints.sharing,
        authorization=(f"Bearer {token}",),
    )
    try:
        provider.gateway.provider.caller_from_request(shown, provider.clock.now())
    except TokenRefused:
        return False
    return True


def test_a_token_for_one_audience_opens_no_other(provider: OidcWorld, victim: RelyingParty) -> None:
    browser = provider.signed_in(provider.officer())
    opened = {}
    for resource in (provider.sharing, f"{provider.issuer}/userinfo", API):
        code, verifier = victim.code(browser, resource=resource)
        token = victim.redeem(code, verifier).json()["access_token"]
        opened[resource] = (sharing_takes(provider, token), victim.userinfo(token).status_code == 200)
    assert opened == {
        provider.sharing: (True, False),
        f"{provider.issuer}/userinfo": (False, True),
        API: (False, False),
    }


KINDS: dict[str, Callable[[RelyingParty, dict[str, Any]], str]] = {
    "an ID token": lambda _rp, tokens: str(tokens["id_token"]),
    "a refresh token": lambda _rp, tokens: str(tokens["refresh_token"]),
    "userinfo": lambda rp, tokens: rp.userinfo(tokens["access_token"]).text,
    "a client assertion": lambda rp, _tokens: rp.assertion(),
    "an introspection answer": lambda rp, tokens: (
        post(
            rp, "/introspect", headers={"Accept": "application/token-introspection+jwt"}, token=tokens["access_token"]
        ).text
    ),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_nothing_else_passes_for_an_access_token(
    provider: OidcWorld, victim: RelyingParty, tokens: dict[str, Any], kind: str
) -> None:
    other = KINDS[kind](victim, tokens)
    assert victim.userinfo(other).status_code == 401
    assert not sharing_takes(provider, other)
    settings = OAuthSettings(may_act_through=(victim.client.client_id,))
    acting = provider.relying_party(grant_types=(EXCHANGE,), oauth=settings)
    assert exchange(acting, other).json()["error"] == "invalid_request"
    if kind != "a refresh token":
        assert introspect(victim, other) == {"active": False}


@pytest.mark.parametrize("kind", ["access_token", "id_token"])
def test_nothing_else_passes_for_a_refresh_token_or_a_code(
    victim: RelyingParty, tokens: dict[str, Any], kind: str
) -> None:
    assert refresh(victim, tokens[kind]).json()["error"] == "invalid_grant"
    assert victim.redeem(tokens[kind], "x" * 43).json()["error"] == "invalid_grant"
    assert victim.redeem(tokens["refresh_token"], "x" * 43).json()["error"] == "invalid_grant"


def test_another_client_gets_nothing_for_what_it_has_stolen(
    provider: OidcWorld, victim: RelyingParty, tokens: dict[str, Any]
) -> None:
    thief = provider.relying_party(
        grant_types=("authorization_code", "refresh_token", EXCHANGE), resources=(provider.sharing, API)
    )
    code, verifier = victim.code(provider.signed_in(provider.officer()))
    attempts = [
        thief.redeem(code, verifier),
        refresh(thief, tokens["refresh_token"]),
        exchange(thief, tokens["access_token"], resource=provider.sharing),
    ]
    assert {answer.status_code for answer in attempts} == {400}
    assert introspect(thief, tokens["access_token"]) == introspect(thief, tokens["refresh_token"]) == {"active": False}
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert post(thief, "/revoke", token=token).status_code == 200
    # Each attempt is in the log, and none of them cost the owner anything.
    assert len(provider.events("oidc.tokens.refused")) == 3
    assert len(provider.events("oidc.introspection.refused")) == 2
    assert len(provider.events("oidc.revocation.refused")) == 2
    assert victim.redeem(code, verifier).status_code == 200
    assert victim.userinfo(tokens["access_token"]).status_code == 200
    assert refresh(victim, tokens["refresh_token"]).status_code == 200


def test_a_verifier_where_there_was_no_challenge_is_refused(provider: OidcWorld) -> None:
    """RFC 9700 §4.8.2: PKCE downgrade, by taking the challenge out of the authorization request."""
    settings = OAuthSettings(id_token_signed_response_alg="ES256", pkce_exempt=True)
    exempt = provider.relying_party(oauth=settings)
    browser = provider.signed_in(provider.officer())
    stripped = {"code_challenge": None, "code_challenge_method": None}
    code, verifier = exempt.code(browser, **stripped)
    downgraded = exempt.redeem(code, verifier)
    assert (downgraded.status_code, downgraded.json()["error"]) == (400, "invalid_request")
    # A client that never made a challenge sends no verifier, and is served.
    assert exempt.redeem(code, None).status_code == 200


@pytest.mark.parametrize("wrong", [None, "", "http://localhost:9/callback/", "http://localhost:9/other"])
def test_a_code_is_redeemed_with_its_own_redirect_uri(provider: OidcWorld, wrong: str | None) -> None:
    """RFC 6749 §4.1.3 and §10.6: else a code that an attacker had sent elsewhere could be redeemed."""
    rp = provider.relying_party()
    code, verifier = rp.code(provider.signed_in(provider.officer()))
    assert rp.redeem(code, verifier, redirect_uri=wrong).json()["error"] == "invalid_grant"
    assert rp.redeem(code, verifier).status_code == 200


def test_a_token_type_is_named_in_full(provider: OidcWorld, tokens: dict[str, Any]) -> None:
    acting = provider.relying_party(grant_types=(EXCHANGE,))
    answer = exchange(acting, tokens["access_token"], subject_token_type=f"{ACCESS_TOKEN}x")
    assert answer.json()["error"] == "invalid_request"
