"""`acr_values` and `claims.id_token.acr` (OIDC Core §3.1.2.1, §5.5.1.1): how strongly somebody has to sign in."""

import json

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.identity.assurance import PASSWORD
from gateway.identity.sessions import find_browser_state
from tests.kit.oidc_world import Browser, OidcWorld, Person
from tests.oidc.authorization.asking import answer_of, authorization_of, error_of


def essential(*levels: str) -> str:
    return json.dumps({"id_token": {"acr": {"essential": True, "values": list(levels)}}})


def voluntary(*levels: str) -> str:
    return json.dumps({"id_token": {"acr": {"values": list(levels)}}})


def session_of(world: OidcWorld, browser: Browser) -> object:
    secret = browser.session.cookies.get(world.gateway.people.cookie.name)
    with world.gateway.database.read() as session:
        return getattr(find_browser_state(session, secret, now=world.clock.now()), "session_id", None)


def by_password_alone(world: OidcWorld, person: Person) -> Browser:
    return world.signed_in(person, methods=(PASSWORD,))


@pytest.mark.parametrize(
    "asked",
    [
        {"acr_values": "AAL2"},
        {"acr_values": "Cl.Cm AAL2 AAL1"},
        {"claims": essential("AAL2")},
        {"claims": voluntary("AAL2")},
    ],
    ids=str,
)
def test_a_password_is_stepped_up_by_a_code_in_the_same_session(world: OidcWorld, asked: dict[str, str]) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = by_password_alone(world, officer)
    before = session_of(world, browser)
    world.advance(minutes=9)
    address, verifier = rp.request(**asked)
    page = browser.get(address)
    assert "security code" in page.text
    assert "Password" not in page.text
    answer = answer_of(browser.submit(page, {"code": officer.code(world.clock)}))
    row = authorization_of(world, answer["code"])
    assert (row.acr, row.methods) == ("AAL2", ["pwd", "otp"])
    assert row.session_id == before
    assert row.auth_time == world.clock.now()
    assert rp.redeem(answer["code"], verifier).status_code == 200
    assert len(world.events("identity.officer.signed_in")) == 1


def test_a_wrong_code_leaves_the_session_as_it_was(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = by_password_alone(world, officer)
    page = browser.get(rp.request(acr_values="AAL2")[0])
    refused = browser.submit(page, {"code": "000000"})
    assert refused.status_code == 400
    row = authorization_of(world, answer_of(browser.get(rp.request()[0]))["code"])
    assert row.acr == "AAL1"
    assert [event["reason"] for event in world.events("identity.sign_in.failed")] == ["code"]


def test_a_password_of_some_time_ago_is_asked_for_again(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = by_password_alone(world, officer)
    world.advance(minutes=11)
    page = browser.get(rp.request(acr_values="AAL2")[0])
    assert "Password" in page.text
    answer = answer_of(browser.sign_in(officer, world.clock, page))
    assert authorization_of(world, answer["code"]).acr == "AAL2"


def test_the_code_page_is_no_way_round_a_whole_sign_in(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = by_password_alone(world, officer)
    world.advance(minutes=3)
    page = browser.get(rp.request(prompt="login")[0])
    assert "Password" in page.text
    other = browser.get(page.url.replace("/sign-in?", "/sign-in/code?"))
    assert "Password" in other.text


def test_what_was_reached_already_is_enough(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    strong = world.signed_in(officer)
    for asked in ({"acr_values": "AAL1"}, {"acr_values": "AAL2"}, {"claims": essential("AAL2")}):
        assert authorization_of(world, answer_of(strong.get(rp.request(**asked)[0]))["code"]).acr == "AAL2"
    weak = by_password_alone(world, officer)
    for asked in ({"acr_values": "AAL1 AAL2"}, {"acr_values": "urn:unknown"}, {"claims": essential("AAL1")}):
        assert authorization_of(world, answer_of(weak.get(rp.request(**asked)[0]))["code"]).acr == "AAL1"


def test_the_acr_told_is_one_that_was_essential(world: OidcWorld) -> None:
    rp = world.relying_party()
    browser = world.signed_in(world.officer())
    code = answer_of(browser.get(rp.request(claims=essential("AAL1"))[0]))["code"]
    # A sign-in by two factors satisfies AAL1 as well, and Core §5.5.1.1 wants one of the values asked for.
    assert authorization_of(world, code).acr == "AAL1"


def test_a_voluntary_level_that_cannot_be_had_is_passed_over_and_the_truth_told(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer(with_code=False)
    browser = world.signed_in(officer)
    for asked in ({"acr_values": "AAL2"}, {"claims": voluntary("AAL2", "AAL3")}):
        assert authorization_of(world, answer_of(browser.get(rp.request(**asked)[0]))["code"]).acr == "AAL1"


@pytest.mark.parametrize("levels", [("AAL2",), ("AAL3",), ("Cl.Cm", "urn:unknown")])
def test_an_essential_level_that_cannot_be_had_is_an_error_and_an_event(
    world: OidcWorld, levels: tuple[str, ...]
) -> None:
    rp, officer = world.relying_party(), world.officer(with_code=False)
    browser = world.signed_in(officer)
    assert error_of(browser.get(rp.request(claims=essential(*levels))[0])) == "unmet_authentication_requirements"
    (event,) = world.events("oidc.authorization.refused")
    assert event["reason"] == "unmet_authentication_requirements"
    assert event["account"] == str(officer.account.account_id)


def test_a_client_may_be_registered_with_its_level_and_age(world: OidcWorld) -> None:
    rp = world.relying_party(oauth=OAuthSettings(default_acr_values=("AAL2",), default_max_age=60))
    officer = world.officer()
    browser = by_password_alone(world, officer)
    page = browser.get(rp.request()[0])
    assert "security code" in page.text
    browser.submit(page, {"code": officer.code(world.clock)})
    assert "code" in answer_of(browser.get(rp.request(prompt="none")[0]))
    world.advance(seconds=61)
    assert error_of(browser.get(rp.request(prompt="none")[0])) == "login_required"
    # What the request says goes before what was registered.
    assert "code" in answer_of(browser.get(rp.request(prompt="none", max_age="120")[0]))


def test_an_officer_who_asks_to_share_is_asked_for_the_code(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = by_password_alone(world, officer)
    page = browser.get(rp.request(resource=world.sharing)[0])
    answer = answer_of(browser.submit(page, {"code": officer.code(world.clock)}))
    assert authorization_of(world, answer["code"]).acr == "AAL2"
