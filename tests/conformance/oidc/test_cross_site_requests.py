"""RFC 9700 §4.7, §4.12 and §4.17: what another site has somebody's browser send, plant or read."""

import re
from urllib.parse import urlencode, urljoin

import pytest
import requests

from tests.kit.oidc_world import REDIRECT_URI, Answer, Browser, OidcWorld, hidden_fields
from tests.kit.pushing import asked

pytestmark = pytest.mark.any_database


def consent_page(provider: OidcWorld, browser: Browser) -> requests.Response:
    page = browser.get(provider.relying_party().request(prompt="consent")[0])
    assert "Do you agree?" in page.text
    return page


@pytest.mark.parametrize("token", ["none", "the attacker's own", "changed", "empty"])
def test_consent_csrf(provider: OidcWorld, token: str) -> None:
    """A form on another site that says yes in somebody's name."""
    victim = provider.signed_in(provider.officer())
    attacker = provider.signed_in(provider.officer())
    page = consent_page(provider, victim)
    theirs = hidden_fields(consent_page(provider, attacker).text)["csrf_token"]
    own = hidden_fields(page.text)["csrf_token"]
    forged = {"none": None, "the attacker's own": theirs, "changed": own[:-1] + "x", "empty": ""}[token]
    fields = {"decision": "yes"} | ({"csrf_token": forged} if forged is not None else {})
    answer = victim.post(page.url, fields)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert "Do you agree?" in answer.text
    (event,) = provider.events("oidc.authorization.refused")
    assert event["reason"] == "csrf"
    # The person's own answer still counts.
    assert "code" in Answer(address=victim.submit(page, {"decision": "yes"}).headers["Location"]).parameters


def test_consent_csrf_by_a_link(provider: OidcWorld) -> None:
    victim = provider.signed_in(provider.officer())
    page = consent_page(provider, victim)
    token = hidden_fields(page.text)["csrf_token"]
    answer = victim.get(page.url + "&" + urlencode({"decision": "yes", "csrf_token": token}))
    assert (answer.status_code, "Location" in answer.headers) == (200, False)


def test_consent_and_choice_of_the_attacker_are_not_the_victims(provider: OidcWorld) -> None:
    """The attacker chose their own account, and sends the victim the address at which that goes on."""
    rp = provider.relying_party()
    attacker, victim = provider.signed_in(provider.officer()), provider.signed_in(provider.officer())
    provider.advance(minutes=3)
    choice = attacker.get(rp.request(prompt="select_account consent")[0])
    chosen = re.findall(r'href="(/authorize/continue\?[^"]*)"', choice.text)[0]
    answer = victim.get(chosen)
    assert (answer.status_code, "Location" in answer.headers) == (200, False)
    assert "Choose an account" in answer.text


def test_login_csrf_by_a_form_posted_across_sites(provider: OidcWorld) -> None:
    """The attacker has the victim's browser post the attacker's own address and password."""
    attacker, victim = provider.citizen(with_code=False), provider.browser()
    prepared = provider.browser()
    page = prepared.get("/sign-in")
    theirs = {**hidden_fields(page.text), "email": attacker.email, "password": attacker.password}
    victim.get("/sign-in")
    for fields in (theirs, {name: value for name, value in theirs.items() if name != "csrf_token"}):
        assert victim.post("/sign-in", fields).status_code == 400
    assert "/sign-in" in victim.get("/account").url


def test_session_fixation_by_planting_the_attackers_cookie(provider: OidcWorld) -> None:
    """The victim signs in at a browser with the attacker's session: it becomes another one, the attacker's stays."""
    name = provider.gateway.people.cookie.name
    attacker, victim = provider.officer(), provider.officer()
    theirs = provider.signed_in(attacker)
    provider.advance(minutes=3)
    planted = theirs.session.cookies.get(name)
    assert planted is not None
    browser = provider.browser()
    browser.session.cookies.set(name, planted, domain="localhost.local", path="/")
    page = browser.get(provider.relying_party().request(prompt="login")[0])
    browser.sign_in(victim, provider.clock, page)
    assert victim.email in browser.get("/account").text
    assert browser.session.cookies.get(name) != planted
    assert victim.email not in theirs.get("/account").text


def test_login_csrf_by_a_planted_answer(provider: OidcWorld) -> None:
    """RFC 9700 §4.7: the attacker's code, for a client at which the victim began: the victim's verifier fails."""
    rp = provider.relying_party()
    planted, _ = rp.code(provider.signed_in(provider.officer()))
    _, own = rp.request()
    assert rp.redeem(planted, own).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("mode", ["web_message", "web_message.jwt", "postMessage", "none"])
def test_no_answer_travels_by_message_between_windows(provider: OidcWorld, mode: str) -> None:
    """RFC 9700 §4.17: there is no receiver whose origin could be missed."""
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    told = Answer(address=browser.get(rp.request(response_mode=mode)[0]).headers["Location"]).parameters
    assert told["error"] == "invalid_request"
    by_form = browser.get(rp.request(response_mode="form_post")[0])
    for script in re.findall(r'<script[^>]*src="([^"]*)"', by_form.text):
        assert "postMessage" not in requests.get(urljoin(provider.issuer, script), timeout=10).text


def test_what_was_posted_is_never_posted_on(provider: OidcWorld) -> None:
    """RFC 9700 §4.12: 307 and 308 would hand passwords, answers and requests to whoever is next."""
    rp, citizen = provider.relying_party(), provider.citizen(with_code=False)
    browser = provider.browser()
    posted = requests.post(f"{rp.issuer}/authorize", data=dict(asked(rp)[0]), allow_redirects=False, timeout=10)
    statuses = {posted.status_code}
    page = browser.get(rp.request(prompt="consent")[0])
    password = {**hidden_fields(page.text), "email": citizen.email, "password": citizen.password}
    answer = browser.session.post(page.url, data=password, allow_redirects=False, timeout=10)
    statuses.add(answer.status_code)
    consent = browser.follow(answer)
    agreed = {**hidden_fields(consent.text), "decision": "yes"}
    answer = browser.session.post(consent.url, data=agreed, allow_redirects=False, timeout=10)
    assert answer.headers["Location"].startswith(REDIRECT_URI + "?code=")
    statuses.add(answer.status_code)
    out = hidden_fields(browser.get("/logout").text)
    statuses.add(browser.session.post(f"{rp.issuer}/logout/confirm", data=out, allow_redirects=False).status_code)
    assert statuses == {303}


@pytest.mark.parametrize(
    "path", ["/authorize", "/token", "/par", "/userinfo", "/introspect", "/revoke", "/register", "/logout", "/account"]
)
def test_another_site_reads_nothing_with_somebodys_browser(provider: OidcWorld, path: str) -> None:
    browser = provider.signed_in(provider.officer())
    for method in ("OPTIONS", "GET", "POST"):
        answer = browser.session.request(
            method,
            provider.issuer + path,
            headers={
                "Origin": "https://attacker.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, dpop",
            },
            allow_redirects=False,
            timeout=10,
        )
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
