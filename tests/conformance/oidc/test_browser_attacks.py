"""What a hostile page, link or network can try with somebody's browser (RFC 9700 §4)."""

import re
from urllib.parse import unquote, urlencode

import pytest
import requests

from tests.kit.oidc_world import OidcWorld, RelyingParty


@pytest.mark.parametrize(
    "target",
    [
        "https://attacker.example/",
        "//attacker.example/",
        "/\\attacker.example/",
        "\\\\attacker.example/",
        "/\t/attacker.example/",
        "/%0d%0aLocation:https://attacker.example/ \r\n",
        "javascript:alert(1)",
        "attacker.example",
        "http:attacker.example",
    ],
)
def test_signing_in_leads_to_our_own_pages_alone(world: OidcWorld, target: str) -> None:
    browser, citizen = world.browser(), world.citizen(with_code=False)
    page = browser.session.get(f"{world.issuer}/sign-in?{urlencode({'next': target})}")
    answer = browser.session.post(
        page.url,
        data={"email": citizen.email, "password": citizen.password, "csrf_token": token_in(page.text)},
        allow_redirects=False,
    )
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/account"


def test_a_sign_in_form_without_its_token_signs_nobody_in(world: OidcWorld) -> None:
    citizen = world.citizen(with_code=False)
    credentials = {"email": citizen.email, "password": citizen.password}
    forged = requests.post(f"{world.issuer}/sign-in", data=credentials, allow_redirects=False, timeout=10)
    assert forged.status_code == 400
    # A token that was given to another browser is as bad as none.
    attacker = requests.get(f"{world.issuer}/sign-in", timeout=10)
    with requests.Session() as victim:
        victim.get(f"{world.issuer}/sign-in", timeout=10)
        forged = victim.post(
            f"{world.issuer}/sign-in",
            data={**credentials, "csrf_token": token_in(attacker.text)},
            allow_redirects=False,
            timeout=10,
        )
        assert forged.status_code == 400
        assert "sign-in" not in "".join(victim.cookies.keys()).replace("gateway-forms", "")


def test_signing_out_needs_the_token_too(world: OidcWorld, rp: RelyingParty) -> None:
    browser = world.browser()
    rp.sign_in(browser, world.officer())
    browser.session.post(f"{world.issuer}/sign-out", allow_redirects=False)
    assert browser.session.get(f"{world.issuer}/sign-out", allow_redirects=False).status_code == 405
    account = browser.get("/account")
    assert "Olive Testcase" in account.text
    signed_out = browser.post("/sign-out", {"csrf_token": token_in(account.text)})
    assert "You have signed out" in signed_out.text
    assert "login_required" in browser.get(rp.request(prompt="none")[0]).headers["Location"]


def test_the_session_changes_at_every_step_and_the_old_one_is_worth_nothing(world: OidcWorld, rp: RelyingParty) -> None:
    name = world.gateway.people.cookie.name
    browser, officer = world.browser(), world.officer()
    browser.session.cookies.set(name, "planted-by-an-attacker", domain="localhost.local", path="/")
    page = browser.get("/sign-in")
    code_page = browser.submit(page, {"email": officer.email, "password": officer.password})
    after_password = newest(browser.session, name)
    browser.submit(code_page, {"code": officer.code(world.clock)})
    after_code = newest(browser.session, name)
    assert len({"planted-by-an-attacker", after_password, after_code}) == 3
    for old in ("planted-by-an-attacker", after_password):
        attempt = requests.get(
            rp.request(prompt="none")[0], headers={"Cookie": f"{name}={old}"}, allow_redirects=False, timeout=10
        )
        assert "login_required" in attempt.headers["Location"]


def test_a_signed_out_session_is_over_on_the_server(world: OidcWorld, rp: RelyingParty) -> None:
    name = world.gateway.people.cookie.name
    browser = world.browser()
    rp.sign_in(browser, world.officer())
    kept = newest(browser.session, name)
    browser.post("/sign-out", {"csrf_token": token_in(browser.get("/account").text)})
    attempt = requests.get(
        rp.request(prompt="none")[0], headers={"Cookie": f"{name}={kept}"}, allow_redirects=False, timeout=10
    )
    assert "login_required" in attempt.headers["Location"]


@pytest.mark.parametrize("path", ["/sign-in", "/account", "/authorize", "/signed-out"])
def test_no_page_can_be_framed_or_cached(world: OidcWorld, path: str) -> None:
    answer = world.browser().get(path)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_issuer_never_comes_from_the_host_header(world: OidcWorld, rp: RelyingParty) -> None:
    headers = {"Host": "attacker.example", "X-Forwarded-Host": "attacker.example", "Forwarded": "host=attacker.example"}
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        assert "attacker.example" not in requests.get(world.issuer + path, headers=headers, timeout=10).text
    answer = requests.get(rp.request(prompt="none")[0], headers=headers, allow_redirects=False, timeout=10)
    assert "attacker.example" not in answer.headers["Location"]


def test_a_ticket_changed_by_a_byte_is_refused(world: OidcWorld, rp: RelyingParty) -> None:
    answer = requests.get(rp.request()[0], allow_redirects=False, timeout=10)
    path = unquote(answer.headers["Location"].partition("next=")[2])
    ticket = path.partition("ticket=")[2]
    changed = ticket[:10] + ("A" if ticket[10] != "A" else "B") + ticket[11:]
    refused = requests.get(f"{world.issuer}/authorize/continue?ticket={changed}", allow_redirects=False, timeout=10)
    assert (refused.status_code, "Location" in refused.headers) == (400, False)


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page)
    assert found is not None
    return found.group(1)


def newest(session: requests.Session, name: str) -> str:
    """The value of the cookie that the gateway itself set."""
    values = [cookie.value for cookie in session.cookies if cookie.name == name]
    assert values[-1] is not None
    return values[-1]
