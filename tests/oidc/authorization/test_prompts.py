"""OIDC Core §3.1.2.1, `prompt`: what is asked of the person, in which order, and what happens when nothing may be."""

import pytest

from gateway.identity.assurance import PASSWORD
from gateway.oidc.authorization.consent import WORDS
from gateway.oidc.tokens.claims import CLAIMS_OF_SCOPE, OFFICER_CLAIMS
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import Browser, OidcWorld, Person
from tests.oidc.authorization.asking import answer_of, authorization_of, decide, error_of, links


def signed_in_a_while_ago(world: OidcWorld, person: Person) -> Browser:
    browser = world.signed_in(person)
    world.advance(minutes=5)
    return browser


def test_select_account_shows_who_is_signed_in_and_goes_on_as_them(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = signed_in_a_while_ago(world, officer)
    address, verifier = rp.request(prompt="select_account")
    page = browser.get(address)
    assert page.status_code == 200
    assert officer.email in page.text
    assert "Specimen service" in page.text
    answer = answer_of(browser.get(links(page)["Continue as Olive Testcase"]))
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_select_account_lets_somebody_else_sign_in(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, other = world.relying_party(), world.officer(), world.officer()
    browser = signed_in_a_while_ago(world, officer)
    page = browser.get(links(browser.get(rp.request(prompt="select_account")[0]))["Use another account"])
    assert "Password" in page.text
    code = answer_of(browser.sign_in(other, clock, page))["code"]
    assert authorization_of(world, code).account_id == other.account.account_id


def test_use_another_account_cannot_be_passed_by_going_on_without_signing_in(world: OidcWorld) -> None:
    rp = world.relying_party()
    browser = signed_in_a_while_ago(world, world.officer())
    page = browser.get(links(browser.get(rp.request(prompt="select_account")[0]))["Use another account"])
    again = browser.get(page.url)
    assert "Password" in again.text


def test_an_account_chosen_is_not_chosen_for_somebody_who_signs_in_later(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, other = world.relying_party(), world.officer(), world.officer()
    browser = signed_in_a_while_ago(world, officer)
    as_officer = links(browser.get(rp.request(prompt="select_account")[0]))["Continue as Olive Testcase"]
    browser.session.cookies.clear()
    browser.sign_in(other, clock)
    world.advance(minutes=5)
    page = browser.get(as_officer)
    assert page.status_code == 200
    assert other.email in page.text


def test_who_has_just_signed_in_for_a_request_has_chosen(world: OidcWorld) -> None:
    rp = world.relying_party()
    answer, verifier = rp.sign_in(world.browser(), world.officer(), prompt="select_account")
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_consent_names_the_service_its_member_and_what_will_be_told(world: OidcWorld) -> None:
    rp, citizen = world.relying_party(), world.citizen()
    browser = signed_in_a_while_ago(world, citizen)
    address, verifier = rp.request(prompt="consent", scope="openid email", claims='{"userinfo": {"birthdate": null}}')
    page = browser.get(address)
    assert page.status_code == 200
    for words in (
        "Specimen service",
        "Blackburn with Darwen Borough Council",
        "Olive Testcase",
        "your email address",
        "your date of birth",
    ):
        assert words in page.text
    assert "your name" not in page.text
    answer = answer_of(decide(browser, page, "yes"))
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_consent_promises_nothing_that_would_not_be_told(world: OidcWorld) -> None:
    rp = world.relying_party(scopes=("openid",))
    browser = signed_in_a_while_ago(world, world.citizen())
    page = browser.get(rp.request(prompt="consent", claims='{"id_token": {"email": {"essential": true}}}')[0])
    assert "your email address" not in page.text
    assert "other services" not in page.text


def test_consent_says_that_a_service_may_act_in_a_persons_name(world: OidcWorld) -> None:
    browser = signed_in_a_while_ago(world, world.officer())
    page = browser.get(world.relying_party().request(prompt="consent", resource=world.sharing)[0])
    assert "ask other services in your name" in page.text
    assert "your organisation and your roles in it" in page.text


def test_every_claim_there_is_has_words_for_the_person_it_is_about() -> None:
    assert {name for names in CLAIMS_OF_SCOPE.values() for name in names} | set(OFFICER_CLAIMS) == set(WORDS)


def test_who_does_not_agree_is_sent_back_with_an_error_and_no_code(world: OidcWorld) -> None:
    rp, citizen = world.relying_party(), world.citizen()
    browser = signed_in_a_while_ago(world, citizen)
    page = browser.get(rp.request(prompt="consent", state="s")[0])
    answer = answer_of(decide(browser, page, "no"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "s", world.issuer)
    (event,) = world.events("oidc.authorization.refused")
    assert (event["reason"], event["client"]) == ("access_denied", rp.client.client_id)
    assert event["account"] == str(citizen.account.account_id)


@pytest.mark.parametrize("fields", [{"decision": "yes"}, {"decision": "yes", "csrf_token": "forged"}])
def test_consent_cannot_be_given_from_another_site(world: OidcWorld, fields: dict[str, str]) -> None:
    browser = signed_in_a_while_ago(world, world.citizen())
    page = browser.get(world.relying_party().request(prompt="consent")[0])
    again = browser.post(page.url, fields)
    assert again.status_code == 400
    assert "Do you agree?" in again.text
    # The page that is shown then has a fresh token: the person's own answer is taken.
    assert "code" in answer_of(decide(browser, again, "yes"))


def test_consent_without_a_decision_is_asked_for_again(world: OidcWorld) -> None:
    browser = signed_in_a_while_ago(world, world.citizen())
    page = browser.get(world.relying_party().request(prompt="consent")[0])
    again = browser.submit(page, {"decision": "perhaps"})
    assert again.status_code == 400
    assert "Do you agree?" in again.text


def test_consent_of_one_person_is_not_that_of_the_next_at_the_same_browser(
    world: OidcWorld, clock: FrozenClock
) -> None:
    rp, first, second = world.relying_party(), world.citizen(), world.citizen()
    browser = signed_in_a_while_ago(world, first)
    page = browser.get(rp.request(prompt="consent")[0])
    browser.sign_in(second, clock, browser.get(links(page)["Use another account"]))
    again = decide(browser, page, "yes")
    assert again.status_code == 200
    assert "Do you agree?" in again.text


def test_login_then_consent_is_asked_in_this_order_and_each_once(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = signed_in_a_while_ago(world, officer)
    address, verifier = rp.request(prompt="consent login")
    page = browser.get(address)
    assert "Password" in page.text
    page = browser.sign_in(officer, clock, page)
    assert "Do you agree?" in page.text
    world.advance(minutes=8)  # reading takes its time
    answer = answer_of(decide(browser, page, "yes"))
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_a_kept_consent_page_is_no_way_round_a_sign_in(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer = world.relying_party(), world.officer()
    browser = world.browser()
    page = browser.sign_in(officer, clock, browser.get(rp.request(prompt="login consent")[0]))
    assert "Do you agree?" in page.text
    world.advance(minutes=11)
    assert "Password" in decide(browser, page, "yes").text


def test_choosing_comes_before_consent(world: OidcWorld) -> None:
    browser = signed_in_a_while_ago(world, world.officer())
    page = browser.get(world.relying_party().request(prompt="consent select_account")[0])
    page = browser.get(links(page)["Continue as Olive Testcase"])
    assert "Do you agree?" in page.text
    assert "code" in answer_of(decide(browser, page, "yes"))


def test_with_prompt_none_no_page_is_shown_and_the_error_says_which_was_needed(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    assert error_of(world.browser().get(rp.request(prompt="none")[0])) == "login_required"
    browser = signed_in_a_while_ago(world, officer)
    assert "code" in answer_of(browser.get(rp.request(prompt="none")[0]))
    assert error_of(browser.get(rp.request(prompt="none", max_age="60")[0])) == "login_required"
    weak = world.signed_in(officer, methods=(PASSWORD,))
    assert error_of(weak.get(rp.request(prompt="none", acr_values="AAL2")[0])) == "login_required"


@pytest.mark.parametrize("prompt", ["none login", "none consent", "none select_account", "create", "NONE"])
def test_prompts_that_contradict_each_other_or_are_unknown_are_refused(world: OidcWorld, prompt: str) -> None:
    browser = world.signed_in(world.officer())
    assert error_of(browser.get(world.relying_party().request(prompt=prompt)[0])) == "invalid_request"


def test_pages_in_between_are_not_framed_and_lead_only_to_the_service(world: OidcWorld) -> None:
    browser = signed_in_a_while_ago(world, world.officer())
    rp = world.relying_party()
    choice, consent = (browser.get(rp.request(prompt=prompt)[0]) for prompt in ("select_account", "consent"))
    for page in (choice, consent):
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
    assert "form-action 'self';" in choice.headers["Content-Security-Policy"]
    assert "form-action 'self' http://localhost:9;" in consent.headers["Content-Security-Policy"]
