"""RFC 9126 §7: a request_uri that is used again, kept too long, stolen, exchanged, or spoken over by its address."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests

from tests.kit.oidc_world import REDIRECT_URI, Answer, Browser, OidcWorld, RelyingParty
from tests.kit.pushing import address_of, asked, push, pushed

PREFIX = "urn:ietf:params:oauth:request_uri:"


def assert_page_and_no_redirect(answer: requests.Response) -> None:
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "There is a problem with this sign-in request" in answer.text
    assert REDIRECT_URI not in answer.text


def code_for(rp: RelyingParty, browser: Browser, reference: str, verifier: str) -> None:
    answer = browser.get(address_of(rp, reference))
    code = Answer(address=answer.headers["Location"]).parameters["code"]
    assert rp.redeem(code, verifier).status_code == 200


def test_par_reuse(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    reference, verifier = pushed(rp)
    code_for(rp, browser, reference, verifier)
    assert_page_and_no_redirect(browser.get(address_of(rp, reference)))


def test_par_reuse_in_two_tabs_gives_one_code(provider: OidcWorld) -> None:
    rp, officer, browser = provider.relying_party(), provider.officer(), provider.browser()
    reference, verifier = pushed(rp)
    first, second = (browser.get(address_of(rp, reference)) for _ in range(2))
    answer = browser.sign_in(officer, provider.clock, first)
    assert rp.redeem(Answer(address=answer.headers["Location"]).parameters["code"], verifier).status_code == 200
    password = {"email": officer.email, "password": officer.password}
    assert_page_and_no_redirect(browser.submit(second, password))


def test_par_reuse_at_the_same_moment_gives_one_code(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    reference, _ = pushed(rp)
    browsers = [world.signed_in(officer) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda browser: browser.get(address_of(rp, reference)), browsers))
    assert sorted(answer.status_code for answer in answers) == [303] + [400] * 7


def test_par_expiry(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    (kept, verifier), (late, _) = pushed(rp), pushed(rp)
    provider.advance(seconds=89)
    code_for(rp, browser, kept, verifier)
    provider.advance(seconds=1)
    assert_page_and_no_redirect(browser.get(address_of(rp, late)))


def test_par_theft_by_another_client(provider: OidcWorld) -> None:
    rp, thief, browser = provider.relying_party(), provider.relying_party(), provider.signed_in(provider.officer())
    reference, verifier = pushed(rp)
    assert_page_and_no_redirect(browser.get(address_of(thief, reference)))
    # A theft that failed takes nothing from the client whose request it is.
    code_for(rp, browser, reference, verifier)


@pytest.mark.parametrize("client_id", [None, ["own", "another"]])
def test_par_theft_by_leaving_the_client_open(provider: OidcWorld, client_id: list[str] | None) -> None:
    rp, thief = provider.relying_party(), provider.relying_party()
    reference, _ = pushed(rp)
    named = {"own": rp.client.client_id, "another": thief.client.client_id}
    query: dict[str, str | list[str]] = {"request_uri": reference}
    if client_id is not None:
        query["client_id"] = [named[each] for each in client_id]
    prepared = requests.Request("GET", f"{provider.issuer}/authorize", params=query).prepare()
    assert_page_and_no_redirect(provider.signed_in(provider.officer()).get(str(prepared.url)))


def test_request_uri_swapping_of_one_victims_request_for_the_attackers(provider: OidcWorld) -> None:
    """The attacker has the victim's browser go on with a request that the attacker began at the same client."""
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    (begun, own_verifier), (swapped, _) = pushed(rp), pushed(rp)
    code = Answer(address=browser.get(address_of(rp, swapped)).headers["Location"]).parameters["code"]
    # The client holds the verifier of what it began itself, and the code is of another request.
    assert rp.redeem(code, own_verifier).json()["error"] == "invalid_grant"
    assert begun != swapped


def test_query_parameters_do_not_override_pushed_ones(provider: OidcWorld) -> None:
    second = REDIRECT_URI + "/second"
    rp = provider.relying_party(redirect_uris=(REDIRECT_URI, second))
    browser = provider.signed_in(provider.officer())
    reference, verifier = pushed(rp, state="pushed", scope="openid", nonce="pushed")
    address = address_of(
        rp,
        reference,
        state="outside",
        redirect_uri=second,
        scope="openid email offline_access",
        nonce="outside",
        code_challenge="A" * 43,
        response_mode="fragment",
        prompt="none",
    )
    answer = browser.get(address)
    assert answer.headers["Location"].startswith(REDIRECT_URI + "?")
    told = Answer(address=answer.headers["Location"]).parameters
    assert told["state"] == "pushed"
    tokens = rp.redeem(told["code"], verifier).json()
    assert tokens["scope"] == "openid"
    assert "refresh_token" not in tokens


def test_query_parameters_do_not_stand_in_for_what_was_not_pushed(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    reference, _ = pushed(rp, state=None)
    told = Answer(address=browser.get(address_of(rp, reference, state="outside")).headers["Location"]).parameters
    assert set(told) == {"code", "iss"}


GUESSES = {
    "unknown": PREFIX + "A" * 43,
    "too short": PREFIX + "A",
    "no reference": PREFIX,
    "not text": PREFIX + "é" * 43,
    "longer": PREFIX + "A" * 44,
    "with a line break": PREFIX + "A" * 43 + "\n",
}


@pytest.mark.parametrize("guess", GUESSES)
def test_a_guessed_request_uri_is_a_page_and_never_a_redirect(provider: OidcWorld, guess: str) -> None:
    rp = provider.relying_party()
    address = address_of(rp, GUESSES[guess], redirect_uri=REDIRECT_URI, response_type="code", state="s")
    assert_page_and_no_redirect(provider.signed_in(provider.officer()).get(address))


@pytest.mark.parametrize(
    "elsewhere", ["https://attacker.example/request.jwt", "http://127.0.0.1:1/", "file:///etc/passwd", "urn:x"]
)
def test_a_request_uri_of_the_web_is_not_fetched(provider: OidcWorld, elsewhere: str) -> None:
    rp = provider.relying_party()
    told = Answer(address=provider.browser().get(rp.request(request_uri=elsewhere)[0]).headers["Location"]).parameters
    assert (told["error"], told["iss"]) == ("request_uri_not_supported", provider.issuer)
    # Without a redirect_uri of the client beside it there is nowhere to tell it to.
    assert_page_and_no_redirect(provider.browser().get(address_of(rp, elsewhere)))


def test_a_request_uri_does_not_lead_to_another_one(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    reference, _ = pushed(rp)
    pairs, _ = asked(rp, request_uri=reference)
    answer = push(rp, pairs)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_reference_of_a_client_that_was_disabled_meanwhile_is_worth_nothing(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    reference, _ = pushed(rp)
    provider.change_client(replace(rp.client, active=False))
    assert_page_and_no_redirect(browser.get(address_of(rp, reference)))


def test_what_was_pushed_is_held_to_the_registration_of_the_moment(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    reference, _ = pushed(rp, scope="openid email")
    provider.change_client(replace(rp.client, redirect_uris=("https://moved.example/callback",)))
    assert_page_and_no_redirect(browser.get(address_of(rp, reference)))
    provider.change_client(replace(rp.client, scopes=("openid",)))
    told = Answer(address=browser.get(address_of(rp, reference)).headers["Location"]).parameters
    assert told["error"] == "invalid_scope"


def test_pushing_with_the_assertion_of_another_client(provider: OidcWorld) -> None:
    rp, thief = provider.relying_party(), provider.relying_party()
    pairs, _ = asked(rp)
    answer = push(rp, pairs, assertion=thief.assertion())
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
