"""What the tests of this folder rely on: a provider shared with the tests before shows nothing of them."""

import pytest

from gateway.identity.throttling import PASSWORD_LIMIT
from gateway.wire.jws import unverified_claims
from tests.kit.oidc_world import OidcWorld

FAILED = "identity.sign_in.failed"


@pytest.mark.parametrize("time", range(2))
def test_neither_events_nor_attempts_of_the_test_before_are_met(provider: OidcWorld, time: int) -> None:
    assert provider.events(FAILED) == []
    browser = provider.browser()
    page = browser.get("/sign-in")
    for number in range(PASSWORD_LIMIT.attempts + 1):
        browser.submit(page, {"email": "nobody.sample@council.example", "password": f"guess {number}"})
    assert provider.events(FAILED)


@pytest.mark.parametrize("kind", ["officer", "citizen"])
def test_a_browser_already_signed_in_is_as_good_as_one_that_used_the_pages(provider: OidcWorld, kind: str) -> None:
    rp, person = provider.relying_party(), getattr(provider, kind)()
    by_pages = rp.tokens(provider.browser(), person)
    at_once = provider.signed_in(person)
    answer = rp.redeem(*rp.code(at_once))
    assert answer.status_code == 200, answer.text
    claims = [unverified_claims(tokens["id_token"]) for tokens in (by_pages, answer.json())]
    by_page, given = ({key: each[key] for key in ("sub", "acr", "amr")} for each in claims)
    assert by_page == given
    assert person.email in at_once.get("/account").text
