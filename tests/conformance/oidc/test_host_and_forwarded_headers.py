"""RFC 9700 §4.13: whatever a request says of the host, the scheme or the path it came by, we are where we are.

No proxy is configured in these tests: so nothing that a proxy could have added is believed.
"""

import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests

from tests.kit.dpop import DPoPKey
from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.pushing import asked, push

EVIL = "attacker.example"
SPOOFED = {
    "Host": EVIL,
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": f"/{EVIL}",
    "X-Forwarded-Server": EVIL,
    "X-Forwarded-For": "203.0.113.9",
    "X-Real-IP": "203.0.113.9",
    "X-Host": EVIL,
    "X-Original-Host": EVIL,
    "X-Original-URL": f"/{EVIL}",
    "X-Rewrite-URL": f"/{EVIL}",
    "X-HTTP-Method-Override": "DELETE",
    "Forwarded": f"for=203.0.113.9;host={EVIL};proto=https",
    "Via": f"1.1 {EVIL}",
}
PATHS = [
    "/",
    "/sign-in",
    "/account",
    "/authorize",
    "/signed-out",
    "/logout",
    "/sign-out/everywhere",
    "/userinfo",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/nothing",
]


def signed_in(provider: OidcWorld) -> dict[str, str]:
    """The cookie as a header: a browser would not send it to the host that is named."""
    name = provider.gateway.people.cookie.name
    cookie = provider.signed_in(provider.officer()).session.cookies.get(name)
    return {"Cookie": f"{name}={cookie}"}


@pytest.mark.any_database
@pytest.mark.parametrize("path", PATHS)
def test_host_header_spoofing_changes_no_page_and_no_redirect(provider: OidcWorld, path: str) -> None:
    answer = requests.get(
        provider.issuer + path,
        headers={**SPOOFED, **signed_in(provider), "Accept": "text/html"},
        allow_redirects=False,
        timeout=10,
    )
    assert EVIL not in answer.text
    assert EVIL not in str(answer.headers)
    assert answer.headers.get("Location", "/").startswith("/")
    assert "https://localhost" not in answer.text


@pytest.mark.any_database
def test_host_header_spoofing_changes_nothing_that_is_signed_or_compared(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    address, verifier = rp.request()
    headers = {**SPOOFED, **signed_in(provider)}
    location = requests.get(address, headers=headers, allow_redirects=False, timeout=10).headers["Location"]
    assert "iss=" + provider.issuer.replace(":", "%3A").replace("/", "%2F") in location
    code = location.partition("code=")[2].partition("&")[0]
    # An assertion for the host that was named is for somebody else.
    spoofed = rp.ask(grant_type="client_credentials", assertion=rp.assertion(aud=f"http://{EVIL}"), headers=SPOOFED)
    assert spoofed.json()["error"] == "invalid_client"
    tokens = rp.redeem(code, verifier, headers=SPOOFED).json()
    assert EVIL not in str(requests.get(f"{rp.issuer}/userinfo", headers=SPOOFED, timeout=10).headers)
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    assert EVIL not in push(rp, asked(rp)[0], headers=SPOOFED).text


@pytest.mark.any_database
def test_a_proof_for_the_address_that_a_header_names_is_for_another_server(provider: OidcWorld) -> None:
    rp, key = provider.relying_party(), DPoPKey(clock=provider.clock)
    for named in (f"http://{EVIL}/token", f"https://{EVIL}/token"):
        answer = rp.ask(grant_type="client_credentials", headers={**SPOOFED, "DPoP": key.proof("POST", named)})
        assert answer.json()["error"] == "invalid_dpop_proof"
    right = key.proof("POST", f"{rp.issuer}/token")
    assert rp.ask(grant_type="client_credentials", headers={**SPOOFED, "DPoP": right}).status_code == 200


@pytest.mark.any_database
def test_a_visitor_cannot_choose_the_address_that_the_log_keeps(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    refused = rp.ask(grant_type="authorization_code", code="guess", headers=SPOOFED)
    assert refused.status_code == 400
    (event,) = provider.events("oidc.tokens.refused")
    assert event["source"] == "127.0.0.1"


@pytest.mark.parametrize(
    "target",
    [
        "http://attacker.example/.well-known/openid-configuration",
        "http://attacker.example/sign-in",
        "http://attacker.example{authorize}",
        "//attacker.example/sign-in",
        "//attacker.example/.well-known/openid-configuration",
        "/\\attacker.example/sign-in",
        "/%2f%2fattacker.example/account",
        "/account/..//attacker.example",
    ],
)
def test_a_target_in_absolute_form_names_no_issuer_and_no_way_on(
    world: OidcWorld, rp: RelyingParty, target: str
) -> None:
    """RFC 9112 §3.2.2, against the server that a deployment runs."""
    parts = urlsplit(rp.request()[0])
    line = "GET " + target.replace("{authorize}", f"{parts.path}?{parts.query}") + " HTTP/1.1"
    head = f"{line}\r\nHost: {EVIL}\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    with closing(socket.create_connection((parts.hostname, parts.port or 80), timeout=10)) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 ")
    assert EVIL.encode() not in answer
