"""RFC 9700 §4.16 and §4.2: no page of ours is framed, kept, or tells another site which address it came from.

The page that tells clients of a sign-out in frames frames others, and is framed by nobody itself.
"""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty

pytestmark = pytest.mark.any_database
FRONT_CHANNEL = "https://rp.council.example/front"
AFTER_LOGOUT = "http://localhost:9/signed-out"


@pytest.fixture
def rp(provider: OidcWorld) -> RelyingParty:
    settings = OAuthSettings(id_token_signed_response_alg="ES256", frontchannel_logout_uri=FRONT_CHANNEL)
    return provider.relying_party(oauth=settings, post_logout_redirect_uris=(AFTER_LOGOUT,))


Visit = Callable[[Browser, RelyingParty], requests.Response]


def at(path: str) -> Visit:
    return lambda browser, _rp: browser.session.get(browser.issuer + path, allow_redirects=False, timeout=10)


def asking(**changes: str | None) -> Visit:
    return lambda browser, rp: browser.get(rp.request(**changes)[0])


def asking_while_signed_out(**changes: str | None) -> Visit:
    def visit(browser: Browser, rp: RelyingParty) -> requests.Response:
        return Browser(issuer=browser.issuer).get(rp.request(**changes)[0])

    return visit


def signing_out(browser: Browser, rp: RelyingParty) -> requests.Response:
    code, verifier = rp.code(browser)
    hint = rp.redeem(code, verifier).json()["id_token"]
    page = browser.get("/logout?" + urlencode({"id_token_hint": hint, "post_logout_redirect_uri": AFTER_LOGOUT}))
    assert "<iframe" in page.text
    return page


def without_a_token(path: str) -> Visit:
    return lambda browser, _rp: browser.post(path, {"email": "nobody.specimen@council.example", "password": "x"})


PAGES: dict[str, Visit] = {
    "start": at("/"),
    "sign in": asking_while_signed_out(),
    "sign in again": asking(prompt="login"),
    "account": at("/account"),
    "security code": at("/sign-in/code"),
    "consent": asking(prompt="consent"),
    "choose an account": asking(prompt="select_account"),
    "answer by form": asking(response_mode="form_post"),
    "error by form": asking(response_mode="form_post", scope="nonsense email", claims="x"),
    "answer by redirect": asking(),
    "error by redirect": asking(prompt="nonsense"),
    "unusable request": asking(client_id="nobody"),
    "unusable ticket": at("/authorize/continue?ticket=x"),
    "sign out?": at("/logout"),
    "sign out everywhere?": at("/sign-out/everywhere"),
    "signed out": at("/signed-out"),
    "unusable sign-out": at("/logout?id_token_hint=x"),
    "telling clients of a sign-out": signing_out,
    "form without its token": without_a_token("/sign-in"),
    "sign-out form without its token": without_a_token("/logout/confirm"),
    "not found": at("/nothing"),
    "not allowed": at("/sign-out"),
    "not for programs": at("/token"),
    "auditors only": at("/audit"),
}


@pytest.mark.parametrize("page", PAGES)
def test_clickjacking(provider: OidcWorld, rp: RelyingParty, page: str) -> None:
    browser = provider.signed_in(provider.officer())
    provider.advance(minutes=3)  # an officer who has just signed in has chosen their account
    answer = PAGES[page](browser, rp)
    policy = dict(part.partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["X-Frame-Options"] == "DENY"
    framed = {"https://rp.council.example"} if page == "telling clients of a sign-out" else {"'none'"}
    assert set(policy.get("frame-src", policy["default-src"]).split()) == framed
    # Nor may what is injected run, or a form lead anywhere but to us and to whoever asked.
    assert policy["default-src"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert set(policy["form-action"].split()) <= {"'self'", "http://localhost:9"}
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
