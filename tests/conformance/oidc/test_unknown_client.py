"""RFC 6749 §4.1.2.1: who asks is not known, so nobody is sent anywhere."""

import pytest

from tests.kit.oidc_world import OidcWorld, RelyingParty


@pytest.mark.parametrize(
    "client_id",
    [None, "", "nobody", "x" * 300, "client\x00", "client\n", "' OR 1=1 --", "клиент", ["one", "two"]],
    ids=["missing", "empty", "unknown", "long", "nul", "newline", "sql", "cyrillic", "repeated"],
)
def test_an_unknown_client_gets_a_page_and_no_redirect(
    world: OidcWorld, rp: RelyingParty, client_id: str | list[str] | None
) -> None:
    answer = world.browser().session.get(rp.request(client_id=client_id)[0], allow_redirects=False)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "There is a problem with this sign-in request" in answer.text


def test_an_unknown_client_asking_for_tokens_learns_nothing(world: OidcWorld, rp: RelyingParty) -> None:
    stranger = rp.ask(grant_type="client_credentials", assertion=rp.assertion(iss="nobody", sub="nobody"))
    known = rp.ask(grant_type="client_credentials", assertion=rp.assertion(aud="https://elsewhere.example"))
    assert (stranger.status_code, stranger.json()) == (known.status_code, known.json())
    assert stranger.status_code == 401
    assert stranger.json()["error"] == "invalid_client"
