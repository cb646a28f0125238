"""RFC 9700 §2.1 and §4.1: redirect URIs are compared exactly; anything else is a page, never a redirect."""

import pytest

from tests.kit.oidc_world import REDIRECT_URI, OidcWorld, RelyingParty


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "https://attacker.example/callback",
        REDIRECT_URI + "/",
        REDIRECT_URI + "/../elsewhere",
        REDIRECT_URI + "?x=1",
        REDIRECT_URI + "#fragment",
        REDIRECT_URI.upper(),
        REDIRECT_URI.replace("localhost", "localhost.attacker.example"),
        REDIRECT_URI.replace("localhost", "localhost@attacker.example"),
        REDIRECT_URI.replace("localhost:9", "localhost:99"),
        REDIRECT_URI.replace("localhost", "127.0.0.1"),
        REDIRECT_URI.replace("callback", "%63allback"),
        REDIRECT_URI.replace("http:", "https:"),
        "javascript:alert(1)",
        "//attacker.example",
        [REDIRECT_URI, "https://attacker.example/callback"],
    ],
)
def test_an_unregistered_redirect_uri_gets_a_page_and_no_redirect(
    world: OidcWorld, rp: RelyingParty, redirect_uri: str | list[str] | None
) -> None:
    answer = world.browser().session.get(rp.request(redirect_uri=redirect_uri)[0], allow_redirects=False)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "There is a problem with this sign-in request" in answer.text
    assert "attacker.example" not in answer.text


def test_another_clients_redirect_uri_is_not_registered_either(world: OidcWorld, rp: RelyingParty) -> None:
    other = world.relying_party(redirect_uris=("https://other.example/callback",))
    answer = world.browser().session.get(
        rp.request(redirect_uri=other.client.redirect_uris[0])[0], allow_redirects=False
    )
    assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_a_code_is_not_redeemed_with_another_redirect_uri(world: OidcWorld) -> None:
    rp = world.relying_party(redirect_uris=(REDIRECT_URI, REDIRECT_URI + "/second"))
    answer, verifier = rp.sign_in(world.browser(), world.officer())
    for changes in ({"redirect_uri": REDIRECT_URI + "/second"}, {"redirect_uri": None}):
        refused = rp.redeem(answer["code"], verifier, **changes)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
