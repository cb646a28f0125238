"""The address to which a sign-in comes back can be kept: it is no way round what the relying party demanded."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld


@pytest.mark.parametrize("asked", [{"prompt": "login"}, {"max_age": "60"}])
def test_a_kept_address_does_not_stand_in_for_signing_in_again(
    world: OidcWorld, clock: FrozenClock, asked: dict[str, str]
) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    page = browser.get(rp.request(**asked)[0])
    [kept] = parse_qs(urlsplit(page.url).query)["next"]
    assert "code=" in browser.sign_in(officer, clock, page).headers["Location"]
    clock.advance(minutes=20)
    again = browser.get(kept)
    assert again.status_code == 200
    assert "/sign-in?" in again.url
    clock.advance(minutes=1)
    assert "code=" in browser.sign_in(officer, clock, again).headers["Location"]
