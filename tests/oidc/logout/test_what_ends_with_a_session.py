"""Which tokens die with a session, and what signing out everywhere ends."""

from collections.abc import Callable

import requests

from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty, hidden_fields
from tests.oidc.logout.conftest import Back, is_signed_in


def sign_out(browser: Browser) -> None:
    browser.post("/sign-out", hidden_fields(browser.get("/account").text))


def sign_out_everywhere(browser: Browser) -> requests.Response:
    page = browser.get("/sign-out/everywhere")
    return browser.submit(page, {})


def refreshed(rp: RelyingParty, tokens: dict[str, str]) -> requests.Response:
    return rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])


def test_tokens_of_the_session_are_worth_nothing_after_it(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    browser = provider.signed_in(officer := provider.officer())
    tokens = rp.tokens(browser, officer)
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    sign_out(browser)
    assert rp.userinfo(tokens["access_token"]).status_code == 401


def test_tokens_of_another_session_of_the_same_person_go_on(provider: OidcWorld) -> None:
    rp, officer = provider.relying_party(), provider.officer()
    tokens = rp.tokens(provider.signed_in(officer), officer)
    browser = provider.signed_in(officer)
    rp.tokens(browser, officer)
    sign_out(browser)
    assert rp.userinfo(tokens["access_token"]).status_code == 200


def test_what_was_given_for_offline_use_survives_a_sign_out_from_its_next_refresh_on(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    browser = provider.signed_in(citizen := provider.citizen())
    tokens = rp.tokens(browser, citizen, scope="openid offline_access")
    sign_out(browser)
    assert rp.userinfo(tokens["access_token"]).status_code == 401
    again = refreshed(rp, tokens)
    assert again.status_code == 200, again.text
    assert rp.userinfo(again.json()["access_token"]).status_code == 200


def test_signing_out_everywhere_ends_every_session_and_what_was_given_for_offline_use(
    provider: OidcWorld, back: Back, listening: Callable[..., RelyingParty]
) -> None:
    here, there = listening(), listening()
    citizen = provider.citizen()
    long_gone = provider.signed_in(citizen)
    offline = here.tokens(long_gone, citizen, scope="openid offline_access")
    sign_out(long_gone)
    back.deliver()
    browser, other = provider.signed_in(citizen), provider.signed_in(citizen)
    tokens = here.tokens(browser, citizen)
    there.tokens(other, citizen)
    stranger = provider.signed_in(provider.citizen())
    assert "You are signed in at 2 browsers" in browser.get("/sign-out/everywhere").text
    assert "You have signed out" in sign_out_everywhere(browser).text
    assert not is_signed_in(browser)
    assert not is_signed_in(other)
    assert is_signed_in(stranger)
    assert here.userinfo(tokens["access_token"]).status_code == 401
    assert refreshed(here, offline).json()["error"] == "invalid_grant"
    assert len(back.told(here)) == 2
    assert len(back.told(there)) == 1
    reasons = sorted(event["reason"] for event in provider.events("identity.session.ended"))
    assert reasons == ["signed_out", "signed_out_everywhere", "signed_out_everywhere"]


def test_signing_out_everywhere_is_asked_of_who_is_signed_in(provider: OidcWorld) -> None:
    page = provider.browser().get("/sign-out/everywhere")
    assert "/sign-in?next=" in page.url
