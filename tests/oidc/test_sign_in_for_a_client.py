"""The code flow from the relying party's side, as it should go."""

import secrets
from datetime import timedelta

import pytest
import requests

from gateway.identity.accounts import suspend_account
from gateway.wire.jws import verify_jwt
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import COUNCIL, REDIRECT_URI, Answer, OidcWorld, RelyingParty


def id_token_claims(world: OidcWorld, rp: RelyingParty, tokens: dict[str, str]) -> dict[str, object]:
    keys = requests.get(f"{world.issuer}/.well-known/jwks.json", timeout=5).json()["keys"]
    return verify_jwt(
        tokens["id_token"],
        keys=keys,
        typ="JWT",
        algorithms=["ES256"],
        issuer=world.issuer,
        audience=rp.client.client_id,
        now=world.clock.now(),
    )


def test_an_officer_signs_in_and_the_client_learns_who_how_and_when(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer = world.relying_party(), world.officer()
    answer, verifier = rp.sign_in(world.browser(), officer, nonce="n-1", state="s 1&2", scope="openid profile")
    assert answer["state"] == "s 1&2"
    assert answer["iss"] == world.issuer
    response = rp.redeem(answer["code"], verifier)
    assert response.headers["Cache-Control"] == "no-store"
    tokens = response.json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 300
    assert "refresh_token" not in tokens
    claims = id_token_claims(world, rp, tokens)
    assert claims["nonce"] == "n-1"
    assert claims["acr"] == "AAL2"
    assert claims["amr"] == ["pwd", "otp"]
    assert claims["auth_time"] == int(clock.now().timestamp())
    assert claims["member"] == COUNCIL
    assert claims["roles"] == ["benefits-officer"]
    assert str(officer.account.account_id) not in str(claims)


def test_a_citizen_has_no_member_and_the_id_token_no_name(world: OidcWorld) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.citizen(), scope="openid profile email")
    claims = id_token_claims(world, rp, tokens)
    assert claims["acr"] == "Cl.Cm"
    assert not {"member", "roles", "name", "email", "birthdate"} & set(claims)
    about = rp.userinfo(tokens["access_token"]).json()
    assert about["sub"] == claims["sub"]
    assert about["name"] == "Olive Testcase"
    assert about["birthdate"] == "1990-01-01"
    assert about["email_verified"] is False


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_userinfo_opens_only_what_the_scope_opens(world: OidcWorld, method: str) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.citizen())
    assert set(rp.userinfo(tokens["access_token"], method=method).json()) == {"sub"}


def test_a_password_alone_is_a_weaker_sign_in_and_says_so(world: OidcWorld) -> None:
    rp = world.relying_party()
    claims = id_token_claims(world, rp, rp.tokens(world.browser(), world.officer(with_code=False)))
    assert (claims["acr"], claims["amr"]) == ("AAL1", ["pwd"])


def test_each_sector_knows_a_person_by_another_sub_and_the_same_one_for_ever(
    world: OidcWorld, clock: FrozenClock
) -> None:
    one, other, officer = world.relying_party(), world.relying_party(), world.officer()
    browser = world.browser()
    first = id_token_claims(world, one, one.tokens(browser, officer))
    second = id_token_claims(world, other, other.tokens(browser, officer))
    clock.advance(days=30)
    again = id_token_claims(world, one, one.tokens(world.browser(), officer))
    assert first["sub"] != second["sub"]
    assert first["sid"] != second["sid"]
    assert again["sub"] == first["sub"]


def test_who_is_signed_in_already_is_not_asked_again(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    rp.sign_in(browser, officer)
    address, _ = rp.request(prompt="none")
    assert "code" in Answer(address=browser.get(address).headers["Location"]).parameters


def test_prompt_none_answers_login_required_when_nobody_is_signed_in(world: OidcWorld) -> None:
    address, _ = world.relying_party().request(prompt="none", state="s")
    parameters = Answer(address=world.browser().get(address).headers["Location"]).parameters
    assert parameters["error"] == "login_required"
    assert parameters["state"] == "s"
    assert parameters["iss"] == world.issuer


@pytest.mark.parametrize("asked", [{"prompt": "login"}, {"max_age": "60"}, {"max_age": "0"}])
def test_a_fresh_sign_in_is_asked_for_and_then_accepted(
    world: OidcWorld, clock: FrozenClock, asked: dict[str, str]
) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    before = id_token_claims(world, rp, rp.tokens(browser, officer))
    clock.advance(seconds=61)
    address, verifier = rp.request(**asked)
    page = browser.get(address)
    assert "Password" in page.text
    answer = Answer(address=browser.sign_in(officer, clock, page).headers["Location"]).parameters
    after = id_token_claims(world, rp, rp.redeem(answer["code"], verifier).json())
    assert after["auth_time"] == int(before["auth_time"]) + 61  # type: ignore[call-overload]


def test_a_recent_sign_in_satisfies_max_age(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    rp.sign_in(browser, officer)
    clock.advance(seconds=59)
    assert "code=" in browser.get(rp.request(max_age="60")[0]).headers["Location"]


def test_a_request_by_post_goes_the_same_way(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    address, verifier = rp.request()
    fields = Answer(address=address).parameters
    page = browser.post("/authorize", fields)
    answer = Answer(address=browser.sign_in(officer, clock, page).headers["Location"]).parameters
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_tabs_that_sign_in_at_once_all_succeed(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    asked = [rp.request() for _ in range(3)]
    first, second, third = (browser.get(address) for address, _ in asked)
    password = {"email": officer.email, "password": officer.password}
    code_page = browser.submit(first, password)
    other_code_page = browser.submit(second, password)
    answers = [
        browser.submit(code_page, {"code": officer.code(clock)}),
        browser.submit(other_code_page, {"code": officer.code(clock)}),
        browser.submit(third, password),
    ]
    for answer, (_, verifier) in zip(answers, asked, strict=True):
        code = Answer(address=answer.headers["Location"]).parameters["code"]
        assert rp.redeem(code, verifier).status_code == 200


def test_the_sign_in_page_names_the_service_and_lets_its_form_lead_there(world: OidcWorld) -> None:
    page = world.browser().get(world.relying_party().request()[0])
    assert "Specimen service" in page.text
    assert "form-action 'self' http://localhost:9;" in page.headers["Content-Security-Policy"]


def test_a_redirect_uri_keeps_its_own_query(world: OidcWorld) -> None:
    rp = world.relying_party(redirect_uris=(f"{REDIRECT_URI}?tenant=1",))
    address, _ = rp.request(prompt="none")
    assert world.browser().get(address).headers["Location"].startswith(f"{REDIRECT_URI}?tenant=1&error=")


def test_a_client_for_officers_does_not_take_a_citizen_who_is_signed_in(world: OidcWorld) -> None:
    everyone, officers = world.relying_party(), world.relying_party(account_kinds=("officer",))
    browser, citizen = world.browser(), world.citizen()
    everyone.sign_in(browser, citizen)
    assert "login_required" in browser.get(officers.request(prompt="none")[0]).headers["Location"]
    page = browser.get(officers.request()[0])
    refused = browser.submit(page, {"email": citizen.email, "password": citizen.password})
    assert refused.status_code == 400
    assert "Enter a correct email address and password" in refused.text


def test_what_is_not_registered_cannot_be_asked_for(world: OidcWorld) -> None:
    rp = world.relying_party(scopes=("openid",), resources=())
    for asked, error in (
        ({"scope": "openid email"}, "invalid_scope"),
        ({"scope": "email"}, "invalid_scope"),
        ({"resource": world.sharing}, "invalid_target"),
        ({"response_type": "none"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "pigeon"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"request": "x"}, "invalid_request_object"),
        ({"request_uri": "urn:x"}, "request_uri_not_supported"),
        ({"nonce": ["a", "b"]}, "invalid_request"),
        ({"state": "x" * 3000}, "invalid_request"),
    ):
        answer = Answer(address=world.browser().get(rp.request(**asked)[0]).headers["Location"]).parameters
        assert answer["error"] == error, asked
        assert answer["iss"] == world.issuer
    no_grant = world.relying_party(grant_types=("client_credentials",))
    assert "unauthorized_client" in world.browser().get(no_grant.request()[0]).headers["Location"]


def test_unknown_scopes_and_parameters_are_ignored(world: OidcWorld) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid whatever", unheard_of="x", audience="y")
    assert tokens["scope"] == "openid"


def test_a_suspended_person_has_no_tokens_from_that_moment(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    tokens = rp.tokens(browser, officer, scope="openid offline_access")
    answer, verifier = rp.sign_in(browser, officer)
    with world.gateway.database.write() as session:
        suspend_account(session, officer.account.account_id, at=clock.now())
    assert rp.redeem(answer["code"], verifier).json()["error"] == "invalid_grant"
    assert rp.userinfo(tokens["access_token"]).status_code == 401
    refreshed = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed.json()["error"] == "invalid_grant"
    assert "login_required" in browser.get(rp.request(prompt="none")[0]).headers["Location"]


def test_a_code_lives_a_minute(world: OidcWorld, clock: FrozenClock) -> None:
    rp = world.relying_party()
    answer, verifier = rp.sign_in(world.browser(), world.officer())
    clock.advance(seconds=60)
    assert rp.redeem(answer["code"], verifier).json()["error"] == "invalid_grant"


def test_an_access_token_lives_five_minutes(world: OidcWorld, clock: FrozenClock) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer())
    clock.advance(seconds=299)
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    clock.advance(seconds=10)
    assert rp.userinfo(tokens["access_token"]).status_code == 401


def test_tokens_issued_are_in_the_log_and_name_nobody_in_the_leaf(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    rp.tokens(world.browser(), officer)
    (signed_in,) = world.events("identity.officer.signed_in")
    (issued,) = world.events("oidc.tokens.issued")
    assert signed_in["account"] == issued["account"] == str(officer.account.account_id)
    assert signed_in["session"] == issued["session"]
    assert issued["client"] == rp.client.client_id
    assert issued["grant_type"] == "authorization_code"


def test_a_request_waits_an_hour_for_a_sign_in_and_no_longer(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    page = browser.get(rp.request()[0])
    clock.advance(seconds=timedelta(minutes=61).total_seconds())
    answer = browser.sign_in(officer, clock, page)
    assert answer.status_code == 400
    assert "begun too long ago" in answer.text


def test_the_longest_request_accepted_fits_into_the_address_of_the_sign_in_page(world: OidcWorld) -> None:
    state = secrets.token_urlsafe(1500)  # 2,000 characters that do not compress
    answer = requests.get(world.relying_party().request(state=state, nonce=None)[0], allow_redirects=False, timeout=10)
    assert len(f"GET {answer.headers['Location']} HTTP/1.1\r\n") < 8190
