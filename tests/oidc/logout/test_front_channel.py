"""OIDC Front-Channel Logout 1.0: the page after a sign-out tells the clients of the session in frames."""

import html
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from gateway.directory.oauth import OAuthSettings
from tests.kit.oidc_world import OidcWorld, RelyingParty, hidden_fields
from tests.oidc.logout.conftest import AFTER_LOGOUT, is_signed_in, sid_of

FRAME = re.compile(r'<iframe src="([^"]*)"')


def framed(provider: OidcWorld, address: str) -> RelyingParty:
    settings = OAuthSettings(
        id_token_signed_response_alg="ES256",
        frontchannel_logout_uri=address,
        frontchannel_logout_session_required=True,
    )
    return provider.relying_party(oauth=settings, post_logout_redirect_uris=(AFTER_LOGOUT,))


def frames_of(page: requests.Response) -> list[str]:
    return [html.unescape(address) for address in FRAME.findall(page.text)]


def frame_sources(page: requests.Response) -> set[str]:
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    return set(policy.get("frame-src", policy["default-src"]).split())


def test_each_client_is_framed_with_iss_and_its_own_sid_and_then_the_browser_goes_on(provider: OidcWorld) -> None:
    one = framed(provider, "https://one.example/logout?area=7")
    other = framed(provider, "https://other.example:8443/front")
    stranger = framed(provider, "https://stranger.example/front")
    browser = provider.signed_in(officer := provider.officer())
    tokens, others = one.tokens(browser, officer), other.tokens(browser, officer)
    stranger.tokens(provider.signed_in(officer), officer)
    asked = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": AFTER_LOGOUT, "state": "s"}
    page = browser.get("/logout?" + urlencode(asked))
    assert page.status_code == 200
    shown = {urlsplit(address).netloc: parse_qs(urlsplit(address).query) for address in frames_of(page)}
    assert shown == {
        "one.example": {"area": ["7"], "iss": [provider.issuer], "sid": [sid_of(tokens)]},
        "other.example:8443": {"iss": [provider.issuer], "sid": [sid_of(others)]},
    }
    # Exactly these may be framed, and the page itself by nobody.
    assert frame_sources(page) == {"https://one.example", "https://other.example:8443"}
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    # On without a script: by itself, and by a link.
    target = AFTER_LOGOUT + "&state=s"
    assert page.headers["Refresh"] == f"3; url={target}"
    assert f'href="{html.escape(target)}"' in page.text
    assert not is_signed_in(browser)


def test_signing_out_on_our_own_page_tells_them_too(provider: OidcWorld) -> None:
    rp = framed(provider, "https://one.example/logout")
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    page = browser.post("/sign-out", hidden_fields(browser.get("/account").text))
    assert len(frames_of(page)) == 1
    assert page.headers["Refresh"] == "3; url=/signed-out"


def test_a_registered_address_cannot_widen_the_policy(provider: OidcWorld) -> None:
    rp = framed(provider, "https://one.example; script-src */logout")
    browser = provider.signed_in(officer := provider.officer())
    rp.tokens(browser, officer)
    page = browser.post("/sign-out", hidden_fields(browser.get("/account").text))
    assert "one.example" not in page.headers["Content-Security-Policy"]
    assert frames_of(page) == []


def test_other_pages_frame_nothing(provider: OidcWorld) -> None:
    assert frame_sources(provider.browser().get("/sign-in")) == {"'none'"}
