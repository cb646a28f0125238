"""OIDC RP-Initiated Logout 1.0: a relying party sends the browser here to be signed out."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from gateway.signing.purposes import Purpose
from gateway.signing.rotation import add_key, load_keys, retire_key, revoke_past_key
from gateway.wire.jws import unverified_header
from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty, hidden_fields
from tests.oidc.logout.conftest import AFTER_LOGOUT, is_signed_in


@pytest.fixture
def rp(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(post_logout_redirect_uris=(AFTER_LOGOUT,))


def ask(browser: Browser, **parameters: str) -> requests.Response:
    return browser.get("/logout?" + urlencode(parameters))


def test_with_its_own_id_token_the_client_signs_out_and_gets_its_state_back(
    provider: OidcWorld, rp: RelyingParty
) -> None:
    browser = provider.signed_in(officer := provider.officer())
    tokens = rp.tokens(browser, officer)
    answer = ask(browser, id_token_hint=tokens["id_token"], post_logout_redirect_uri=AFTER_LOGOUT, state="s 1&x=2")
    assert answer.status_code == 303
    target = urlsplit(answer.headers["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == "http://localhost:9/signed-out"
    assert parse_qsl(target.query) == [("from", "gateway"), ("state", "s 1&x=2")]
    assert not is_signed_in(browser)
    [ended] = provider.events("identity.session.ended")
    assert (ended["reason"], ended["client"]) == ("signed_out", rp.client.client_id)


def test_an_expired_id_token_is_as_good_a_hint(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(officer := provider.officer())
    tokens = rp.tokens(browser, officer)
    for _ in range(3):
        provider.advance(minutes=20)
        assert is_signed_in(browser)
    assert ask(browser, id_token_hint=tokens["id_token"]).status_code == 200
    assert not is_signed_in(browser)


def test_by_post_it_goes_the_same_way_and_no_token_stands_in_an_address(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(officer := provider.officer())
    hint = rp.tokens(browser, officer)["id_token"]
    # As from another site: the browser sends no cookie with the form, but does with the redirect.
    posted = requests.post(
        f"{provider.issuer}/logout",
        data={"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT, "state": "s"},
        allow_redirects=False,
        timeout=10,
    )
    assert posted.status_code == 303
    assert hint not in posted.headers["Location"]
    assert len(posted.headers["Location"]) < 1000
    answer = browser.get(posted.headers["Location"])
    assert answer.headers["Location"] == AFTER_LOGOUT + "&state=s"
    assert not is_signed_in(browser)


def test_without_a_redirect_there_is_a_page_that_says_so(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(officer := provider.officer())
    page = ask(browser, id_token_hint=rp.tokens(browser, officer)["id_token"])
    assert "You have signed out" in page.text


def test_without_a_hint_the_person_is_asked_and_then_taken_back(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(provider.officer())
    page = ask(browser, client_id=rp.client.client_id, post_logout_redirect_uri=AFTER_LOGOUT, state="s")
    assert "Do you want to sign out?" in page.text
    assert "Specimen service asked us to sign you out" in page.text
    # Or the browser would not follow the redirect after the form.
    assert "form-action 'self' http://localhost:9" in page.headers["Content-Security-Policy"]
    assert is_signed_in(browser)
    answer = browser.post("/logout/confirm", hidden_fields(page.text))
    assert answer.headers["Location"] == AFTER_LOGOUT + "&state=s"
    assert not is_signed_in(browser)


def test_with_nothing_at_all_the_person_is_asked(provider: OidcWorld) -> None:
    browser = provider.signed_in(provider.citizen())
    page = ask(browser)
    assert "Do you want to sign out?" in page.text
    assert "You have signed out" in browser.post("/logout/confirm", hidden_fields(page.text)).text
    assert not is_signed_in(browser)


def test_who_is_signed_out_already_goes_straight_back(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(officer := provider.officer())
    hint = rp.tokens(browser, officer)["id_token"]
    ask(browser, id_token_hint=hint)
    again = ask(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER_LOGOUT)
    assert again.headers["Location"] == AFTER_LOGOUT


def test_nobody_signed_in_and_no_hint_is_a_page_with_a_link(provider: OidcWorld, rp: RelyingParty) -> None:
    page = ask(provider.browser(), client_id=rp.client.client_id, post_logout_redirect_uri=AFTER_LOGOUT, state="s")
    assert page.status_code == 200
    assert 'href="http://localhost:9/signed-out?from=gateway&amp;state=s"' in page.text
    assert "Go back to Specimen service" in page.text


def test_the_hint_of_an_earlier_session_asks_first(provider: OidcWorld, rp: RelyingParty) -> None:
    officer = provider.officer()
    hint = rp.tokens(provider.signed_in(officer), officer)["id_token"]
    browser = provider.signed_in(officer)
    assert "Do you want to sign out?" in ask(browser, id_token_hint=hint).text
    assert is_signed_in(browser)


def test_logout_hint_and_ui_locales_are_accepted(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(officer := provider.officer())
    hint = rp.tokens(browser, officer)["id_token"]
    answer = ask(browser, id_token_hint=hint, logout_hint=officer.email, ui_locales="cy en", unknown="x")
    assert "You have signed out" in answer.text


def test_signing_in_again_as_the_same_person_keeps_the_session_and_its_sid(
    provider: OidcWorld, rp: RelyingParty
) -> None:
    browser = provider.signed_in(officer := provider.officer())
    other = provider.relying_party()
    first = rp.tokens(browser, officer)
    provider.advance(minutes=5)
    other.tokens(browser, officer, prompt="login")
    # Nothing ended for the first service, and its hint still names this session.
    assert provider.events("identity.session.ended") == []
    answer = ask(browser, id_token_hint=first["id_token"])
    assert "You have signed out" in answer.text


@pytest.mark.own_provider
def test_a_hint_may_be_older_than_the_key_that_signs_now_but_not_by_a_stolen_one(
    provider: OidcWorld, rp: RelyingParty
) -> None:
    browser, other = provider.signed_in(officer := provider.officer()), provider.signed_in(officer)
    hint, others = rp.tokens(browser, officer)["id_token"], rp.tokens(other, officer)["id_token"]
    signing, keys_dir = provider.gateway.signing, provider.gateway.settings.keys_dir
    add_key(keys_dir, Purpose.TOKENS, "ES256", now=provider.clock.now(), at_once=True)
    [old] = [key for key in load_keys(keys_dir, Purpose.TOKENS) if key.key_id == unverified_header(hint)["kid"]]
    past = retire_key(keys_dir, old, now=provider.clock.now())
    signing.look()
    assert old.key_id not in {jwk["kid"] for jwk in signing.public_jwks(Purpose.TOKENS)}
    assert "You have signed out" in ask(browser, id_token_hint=hint).text
    revoke_past_key(keys_dir, past, now=provider.clock.now())
    signing.look()
    assert ask(other, id_token_hint=others).status_code == 400
    assert is_signed_in(other)
