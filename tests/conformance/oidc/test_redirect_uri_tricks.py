"""RFC 9700 §4.1: an address that some software reads as a registered one is another one, and nobody is sent there.

Each trick is tried in an address and in a pushed request; the client registered addresses on the web and on loopback.
"""

from urllib.parse import urlencode

import pytest

from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.pushing import asked, push

ON_THE_WEB = "https://rp.council.example/callback"
WITH_A_QUERY = "https://rp.council.example/callback?tenant=1"
ON_LOOPBACK = "http://127.0.0.1:9/callback"
REGISTERED = (ON_THE_WEB, WITH_A_QUERY, ON_LOOPBACK)

TRICKS = {
    "prefix": ON_THE_WEB.removesuffix("k"),
    "suffix of the path": ON_THE_WEB + "/evil",
    "suffix of the host": "https://rp.council.example.attacker.example/callback",
    "prefix of the host": "https://attacker-rp.council.example/callback",
    "a subdomain": "https://evil.rp.council.example/callback",
    "the domain above": "https://council.example/callback",
    "userinfo": "https://rp.council.example@attacker.example/callback",
    "userinfo with a password": "https://rp.council.example:x@attacker.example/callback",
    "userinfo of the attacker": "https://attacker.example@rp.council.example/callback",
    "userinfo by escape": "https://rp.council.example%40attacker.example/callback",
    "backslash": "https://attacker.example\\@rp.council.example/callback",
    "backslash before the path": "https://rp.council.example\\callback",
    "backslashes for slashes": "https:\\\\rp.council.example\\callback",
    "dot segments": "https://rp.council.example/x/../callback",
    "dot segments after": ON_THE_WEB + "/../../evil",
    "escaped dot segments": ON_THE_WEB + "/%2e%2e/evil",
    "escaped dots twice": ON_THE_WEB + "/%252e%252e/evil",
    "escaped slash": "https://rp.council.example%2Fcallback",
    "escaped letter": "https://rp.council.example/c%61llback",
    "overlong dots": ON_THE_WEB + "/%c0%ae%c0%ae/evil",
    "a trailing slash": ON_THE_WEB + "/",
    "two slashes": "https://rp.council.example//callback",
    "a parameter of the path": ON_THE_WEB + ";x",
    "a trailing dot of the host": "https://rp.council.example./callback",
    "mixed case in the host": "https://RP.council.example/callback",
    "mixed case in the scheme": "HTTPS://rp.council.example/callback",
    "mixed case in the path": "https://rp.council.example/Callback",
    "letters that look alike": "https://rp.coun\u0441il.example/callback",
    "full width letters": "https://\uff52\uff50.council.example/callback",
    "a soft hyphen": "https://rp.coun\u00adcil.example/callback",
    "the default port": "https://rp.council.example:443/callback",
    "another port": "https://rp.council.example:444/callback",
    "an empty port": "https://rp.council.example:/callback",
    "fragment": ON_THE_WEB + "#evil",
    "empty fragment": ON_THE_WEB + "#",
    "escaped fragment": ON_THE_WEB + "%23evil",
    "query": ON_THE_WEB + "?next=https://attacker.example/",
    "empty query": ON_THE_WEB + "?",
    "more in a query": WITH_A_QUERY + "&tenant=2",
    "another value in a query": WITH_A_QUERY.replace("1", "2"),
    "without its query": WITH_A_QUERY.partition("tenant")[0],
    "plain http": ON_THE_WEB.replace("https", "http"),
    "another scheme": ON_THE_WEB.replace("https", "javascript"),
    "no scheme": ON_THE_WEB.removeprefix("https:"),
    "a path alone": "/callback",
    "a space before": " " + ON_THE_WEB,
    "a space after": ON_THE_WEB + " ",
    "two addresses": f"{ON_THE_WEB} https://attacker.example/",
    "a line break": ON_THE_WEB + "\r\nLocation: https://attacker.example/",
    "a tab": "https://rp.council.example/call\tback",
    "NUL": ON_THE_WEB + "\x00.attacker.example",
    "a wildcard": "https://*.council.example/callback",
    "loopback by its name": "http://localhost:9/callback",
    "loopback on another port": "http://127.0.0.1:10/callback",
    "loopback without a port": "http://127.0.0.1/callback",
    "loopback by IPv6": "http://[::1]:9/callback",
    "loopback by IPv4 in IPv6": "http://[::ffff:127.0.0.1]:9/callback",
    "loopback in two parts": "http://127.1:9/callback",
    "loopback as a number": "http://2130706433:9/callback",
    "loopback in octal": "http://0177.0.0.1:9/callback",
    "loopback in hexadecimal": "http://0x7f.0.0.1:9/callback",
    "another loopback": "http://127.0.0.2:9/callback",
    "loopback with TLS": "https://127.0.0.1:9/callback",
    "a name under loopback": "http://127.0.0.1.attacker.example:9/callback",
    "data": "data:text/html,<script>alert(1)</script>",
}


@pytest.fixture
def rp(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(redirect_uris=REGISTERED)


@pytest.mark.any_database
@pytest.mark.parametrize("trick", TRICKS)
def test_redirect_uri_trick(provider: OidcWorld, rp: RelyingParty, trick: str) -> None:
    browser = provider.signed_in(provider.officer())
    answer = browser.get(rp.request(redirect_uri=TRICKS[trick])[0])
    assert (answer.status_code, "Location" in answer.headers, "Refresh" in answer.headers) == (400, False, False)
    assert "There is a problem with this sign-in request" in answer.text
    assert "attacker.example" not in answer.text
    pushed = push(rp, asked(rp, redirect_uri=TRICKS[trick])[0])
    assert (pushed.status_code, pushed.json()["error"]) == (400, "invalid_request")
    assert "attacker.example" not in pushed.text


@pytest.mark.any_database
def test_redirect_uri_trick_by_spelling_the_parameter_otherwise(provider: OidcWorld, rp: RelyingParty) -> None:
    """A name that is not quite the parameter's is another parameter, and ignored; it never counts as the address."""
    browser = provider.signed_in(provider.officer())
    for name in ("redirect_uri[]", "redirect_uri[0]", "Redirect_URI", "redirect_uri ", "redirect-uri", "redirect_url"):
        address = rp.request(redirect_uri=ON_THE_WEB)[0]
        extra = urlencode({name: "https://attacker.example/"})
        assert browser.get(f"{address}&{extra}").headers["Location"].startswith(ON_THE_WEB + "?code=")
        alone = rp.request(redirect_uri=None)[0]
        assert "Location" not in browser.get(f"{alone}&{extra}").headers


@pytest.mark.any_database
@pytest.mark.parametrize("registered", REGISTERED)
def test_a_registered_address_is_reached_and_the_answer_added_to_it(
    provider: OidcWorld, rp: RelyingParty, registered: str
) -> None:
    browser = provider.signed_in(provider.officer())
    address = browser.get(rp.request(redirect_uri=registered)[0]).headers["Location"]
    assert address.startswith(registered + ("&code=" if "?" in registered else "?code="))
