"""How answers travel: OAuth 2.0 Multiple Response Type Encoding Practices §2.1, and Form Post Response Mode."""

import html
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.kit.oidc_world import REDIRECT_URI, OidcWorld, hidden_fields
from tests.oidc.authorization.asking import error_of, form_action


def test_a_code_travels_as_it_was_asked_to(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    for mode, where in ((None, "query"), ("query", "query"), ("fragment", "fragment")):
        address, verifier = rp.request(response_mode=mode, state="s")
        location = urlsplit(browser.get(address).headers["Location"])
        answer = dict(parse_qsl(getattr(location, where)))
        assert set(answer) == {"code", "state", "iss"}
        assert not (location.fragment if where == "query" else location.query)
        assert rp.redeem(answer["code"], verifier).status_code == 200


def test_a_code_by_form_is_posted_to_the_redirect_uri_and_nowhere_else(world: OidcWorld) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    address, verifier = rp.request(response_mode="form_post", state='"><b>&')
    page = browser.get(address)
    assert page.status_code == 200
    assert "Location" not in page.headers
    assert form_action(page) == REDIRECT_URI
    answer = hidden_fields(page.text)
    assert (answer["state"], answer["iss"]) == ('"><b>&', world.issuer)
    assert "<b>" not in page.text
    assert "form-action http://localhost:9;" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    # Without JavaScript there is a button; with it, our own script sends the form, and no other script runs.
    assert re.search(r"<button[^>]*type=\"submit\"", page.text)
    assert "data-submit-at-once" in page.text
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_a_code_by_form_comes_after_a_sign_in_too(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    address, verifier = rp.request(response_mode="form_post")
    page = browser.sign_in(officer, world.clock, browser.get(address))
    assert rp.redeem(hidden_fields(page.text)["code"], verifier).status_code == 200


@pytest.mark.parametrize("mode", ["query", "fragment", "form_post"])
def test_an_error_travels_as_a_code_would(world: OidcWorld, mode: str) -> None:
    rp = world.relying_party()
    response = world.browser().get(rp.request(response_mode=mode, prompt="none", state="s")[0])
    if mode == "form_post":
        answer = hidden_fields(response.text)
        assert form_action(response) == REDIRECT_URI
    else:
        location = urlsplit(response.headers["Location"])
        answer = dict(parse_qsl(getattr(location, mode)))
    assert (answer["error"], answer["state"], answer["iss"]) == ("login_required", "s", world.issuer)
    assert "error_description" in answer


@pytest.mark.parametrize(
    "asked",
    [{"response_mode": "pigeon"}, {"response_mode": ["query", "fragment"]}, {"response_mode": "QUERY"}],
    ids=str,
)
def test_a_mode_that_is_unknown_or_repeated_is_an_error_by_the_default_mode(
    world: OidcWorld, asked: dict[str, str]
) -> None:
    response = world.browser().get(world.relying_party().request(**asked)[0])
    assert error_of(response) == "invalid_request"
    assert "#" not in response.headers["Location"]


@pytest.mark.parametrize("response_type", ["token", "id_token", "code id_token", "code id_token token"])
def test_a_type_that_would_bring_a_token_is_refused_in_the_fragment(world: OidcWorld, response_type: str) -> None:
    response = world.browser().get(world.relying_party().request(response_type=response_type)[0])
    location = urlsplit(response.headers["Location"])
    assert dict(parse_qsl(location.fragment))["error"] == "unsupported_response_type"
    assert not location.query


def test_an_unusable_request_is_a_page_whatever_its_mode(world: OidcWorld) -> None:
    rp = world.relying_party()
    for mode in ("query", "fragment", "form_post"):
        page = world.browser().get(rp.request(response_mode=mode, redirect_uri="https://evil.example/")[0])
        assert page.status_code == 400
        assert "evil.example" not in html.unescape(page.text)


def test_the_script_that_sends_the_form_is_ours_and_named_by_the_policy(world: OidcWorld) -> None:
    browser = world.signed_in(world.officer())
    page = browser.get(world.relying_party().request(response_mode="form_post")[0])
    nonce = re.search(r"script-src 'nonce-([^']+)'", page.headers["Content-Security-Policy"])
    assert nonce is not None
    source = re.search(r'<script type="module" src="([^"]+)"\s+nonce="([^"]+)"', page.text)
    assert source is not None
    assert source.group(2) == nonce.group(1)
    script = requests.get(f"{world.issuer}{html.unescape(source.group(1))}", timeout=10)
    assert "data-submit-at-once" in script.text
