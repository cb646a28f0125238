"""What discovery says about the authorization endpoint, tried value by value; and nothing else works."""

from typing import Any

import pytest
import requests

from tests.kit.oidc_world import OidcWorld, hidden_fields
from tests.oidc.authorization.asking import answer_of, authorization_of, error_of


@pytest.fixture
def advertised(world: OidcWorld) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(f"{world.issuer}/.well-known/openid-configuration", timeout=10).json()
    return answer


def test_every_response_mode_is_one_that_works(world: OidcWorld, advertised: dict[str, Any]) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    modes = advertised["response_modes_supported"]
    assert {"query", "fragment", "form_post"} <= set(modes)
    for mode in modes:
        response = browser.get(rp.request(response_mode=mode)[0])
        members = answer_of(response) if "Location" in response.headers else hidden_fields(response.text)
        assert {"code", "response"} & set(members), mode
    for mode in {"web_message", "okta_post_message", "direct_post"} - set(modes):
        assert error_of(browser.get(rp.request(response_mode=mode)[0])) == "invalid_request"


def test_every_prompt_is_one_that_works(world: OidcWorld, advertised: dict[str, Any]) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    world.advance(minutes=3)
    pages = {"login": "Password", "consent": "Do you agree?", "select_account": "Choose an account"}
    assert set(advertised["prompt_values_supported"]) == {"none", *pages}
    for prompt, words in pages.items():
        assert words in browser.get(rp.request(prompt=prompt)[0]).text
    assert "code" in answer_of(browser.get(rp.request(prompt="none")[0]))


def test_every_level_is_one_that_somebody_reaches(world: OidcWorld, advertised: dict[str, Any]) -> None:
    rp = world.relying_party()
    people = [factory(with_code=with_code) for factory in (world.officer, world.citizen) for with_code in (True, False)]
    reached = {
        authorization_of(world, answer_of(world.signed_in(person).get(rp.request()[0]))["code"]).acr
        for person in people
    }
    assert reached == set(advertised["acr_values_supported"])


def test_what_else_is_said_of_the_endpoint_is_true(world: OidcWorld, advertised: dict[str, Any]) -> None:
    rp, browser = world.relying_party(), world.signed_in(world.officer())
    assert advertised["claims_parameter_supported"] is True
    assert advertised["authorization_response_iss_parameter_supported"] is True
    assert advertised["code_challenge_methods_supported"] == ["S256"]
    assert advertised["response_types_supported"] == ["code"]
    assert advertised["ui_locales_supported"] == ["en"]
    for display in advertised["display_values_supported"]:
        assert answer_of(browser.get(rp.request(display=display)[0]))["iss"] == world.issuer
