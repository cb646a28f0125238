"""RFC 9700 §4.11: errors lead nowhere but to a registered address, and bring nothing that was not ours into a page."""

import html
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from tests.kit.oidc_world import REDIRECT_URI, OidcWorld
from tests.kit.pushing import asked, push

pytestmark = pytest.mark.any_database
SCRIPT = "\"'><script>alert(1)</script>&lt;img src=x onerror=alert(1)>{{7*7}}${7*7}%0d%0aSet-Cookie:x=y"
WRONG = {
    "response_type": "token",
    "response_mode": "nonsense",
    "scope": 'openid "x"',
    "code_challenge": "x",
    "code_challenge_method": "plain",
    "prompt": "nonsense",
    "max_age": "soon",
    "claims": "{",
    "resource": "https://attacker.example/",
    "request": "x.y.z",
    "request_uri": "https://attacker.example/request.jwt",
    "registration": "{}",
    "id_token_hint": "x.y.z",
    "dpop_jkt": "x",
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("known", [True, False], ids=["registered", "unregistered"])
def test_open_redirect_by_error(
    provider: OidcWorld,
    name: str,
    known: bool,  # noqa: FBT001 - a table's column
) -> None:
    """Every error that there is: told at a registered address, and at no other."""
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    address = REDIRECT_URI if known else "https://attacker.example/callback"
    answer = browser.get(rp.request(redirect_uri=address, **{name: WRONG[name]})[0])
    if known:
        assert re.match(re.escape(REDIRECT_URI) + "[?#]error=", answer.headers["Location"])
    else:
        assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert "attacker.example" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("name", [*WRONG, "state", "nonce", "login_hint", "acr_values", "ui_locales", "unknown"])
def test_reflection_of_a_parameter_in_an_error_or_a_page(provider: OidcWorld, name: str) -> None:
    """Of what was sent, `state` alone comes back, as what it is."""
    rp = provider.relying_party()
    changes = {"prompt": "none", name: SCRIPT}
    told = provider.browser().get(rp.request(**changes)[0])
    parts = urlsplit(told.headers["Location"])
    members = dict(parse_qsl(parts.fragment or parts.query))
    assert "error" in members
    assert not [key for key, value in members.items() if key != "state" and ("script" in value or "7*7" in value)]
    assert members["state"] == SCRIPT if name == "state" else members["state"] != SCRIPT
    assert not told.headers.get("Set-Cookie")
    pushed = push(rp, asked(rp, **{name: SCRIPT})[0])
    assert "script" not in pushed.text.replace("error_description", "").replace("request_uri", "")
    unusable = provider.browser().get(rp.request(**{name: SCRIPT, "redirect_uri": SCRIPT})[0])
    assert (unusable.status_code, "alert(1)" in unusable.text) == (400, False)


@pytest.mark.parametrize("mode", ["form_post", "query", "fragment"])
@pytest.mark.parametrize("outcome", ["code", "error"])
def test_script_injection_by_state(provider: OidcWorld, mode: str, outcome: str) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    wrong = {"max_age": "soon"} if outcome == "error" else {}
    answer = browser.get(rp.request(state=SCRIPT, response_mode=mode, **wrong)[0])
    if mode == "form_post":
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        values = re.findall(r'<input type="hidden" name="state" value="([^"]*)">', answer.text)
        assert [html.unescape(value) for value in values] == [SCRIPT]
        assert "49" not in values[0]
        assert "form-action http://localhost:9;" in answer.headers["Content-Security-Policy"]
    else:
        assert "<" not in answer.headers["Location"]
        parts = urlsplit(answer.headers["Location"])
        assert dict(parse_qsl(parts.fragment or parts.query))["state"] == SCRIPT


@pytest.mark.parametrize("name", ["client_name", "login_hint"])
def test_script_injection_into_the_sign_in_page(provider: OidcWorld, name: str) -> None:
    rp = provider.relying_party(name=SCRIPT) if name == "client_name" else provider.relying_party()
    page = provider.browser().get(rp.request(login_hint=SCRIPT if name == "login_hint" else None)[0])
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img" not in page.text


@pytest.mark.parametrize(
    "address",
    [
        "https://attacker.example/",
        "//attacker.example",
        "/\\attacker.example",
        "/%5cattacker.example",
        "javascript:alert(1)",
        "/account\r\nSet-Cookie: x=y",
        "/\u2028/attacker.example",
        "https:attacker.example",
        "/@attacker.example/..//attacker.example",
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code"])
def test_open_redirect_by_the_address_to_go_on_to(provider: OidcWorld, path: str, address: str) -> None:
    browser = provider.signed_in(provider.officer())
    answer = browser.session.get(
        f"{provider.issuer}{path}?{urlencode({'next': address})}", allow_redirects=False, timeout=10
    )
    location = answer.headers["Location"]
    assert re.match(r"/(?![/\\])", location)
    assert "x=y" not in answer.headers.get("Set-Cookie", "")
    followed = requests.Request("GET", provider.issuer + location).prepare()
    assert urlsplit(str(followed.url)).netloc == urlsplit(provider.issuer).netloc


def test_a_sign_in_page_is_reached_in_nobody_elses_name(provider: OidcWorld) -> None:
    """Whose service asks is said by our own sealed ticket, never by words in the address."""
    page = provider.browser().get("/sign-in?service_name=Attacker+Bank&next=/account&error=Attacker+Bank")
    assert "Attacker" not in page.text
