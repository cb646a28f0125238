"""Pushed authorization requests (RFC 9126) as they should go: a secret reference, for one client and one code, soon."""

import pytest
from sqlalchemy import func, select

from gateway.directory.oauth import OAuthSettings
from gateway.oidc.authorization.pushed import purge_pushed
from gateway.oidc.models import PushedRequestRow
from tests.kit.oidc_world import Answer, OidcWorld
from tests.kit.pushing import address_of, asked, push, pushed, reference_in


def test_a_pushed_request_is_answered_with_a_code(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    pairs, verifier = asked(rp, state="s 1&2")
    answer = push(rp, pairs)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"request_uri", "expires_in"}
    assert 0 < answer.json()["expires_in"] <= 90
    reference = reference_in(answer)
    assert reference.startswith("urn:ietf:params:oauth:request_uri:")
    assert len(reference.rpartition(":")[2]) == 43, "256 bits"
    told = Answer(address=browser.get(address_of(rp, reference)).headers["Location"]).parameters
    assert (told["state"], told["iss"]) == ("s 1&2", provider.issuer)
    assert rp.redeem(told["code"], verifier).status_code == 200


def test_the_page_may_be_loaded_again_until_somebody_has_signed_in(provider: OidcWorld) -> None:
    rp, officer, browser = provider.relying_party(), provider.officer(), provider.browser()
    reference, verifier = pushed(rp)
    assert "/sign-in?" in browser.get(address_of(rp, reference)).url
    page = browser.get(address_of(rp, reference))
    answer = browser.sign_in(officer, provider.clock, page)
    assert rp.redeem(Answer(address=answer.headers["Location"]).parameters["code"], verifier).status_code == 200


def test_whoever_arrived_in_time_may_take_long_to_sign_in(provider: OidcWorld) -> None:
    rp, officer, browser = provider.relying_party(), provider.officer(), provider.browser()
    reference, verifier = pushed(rp)
    provider.advance(seconds=89)
    page = browser.get(address_of(rp, reference))
    provider.advance(minutes=59)
    with provider.gateway.database.write() as session:
        purge_pushed(session, now=provider.clock.now())
    answer = browser.sign_in(officer, provider.clock, page)
    assert rp.redeem(Answer(address=answer.headers["Location"]).parameters["code"], verifier).status_code == 200


def test_a_request_without_an_answer_leaves_the_reference_as_it_is(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    reference, _ = pushed(rp, prompt="none")
    assert "login_required" in provider.browser().get(address_of(rp, reference)).headers["Location"]
    again = provider.signed_in(provider.officer()).get(address_of(rp, reference))
    assert "code=" in again.headers["Location"]


def test_a_long_request_fits_when_it_is_pushed(provider: OidcWorld) -> None:
    rp, officer, browser = provider.relying_party(), provider.officer(), provider.browser()
    many = {f"unheard_of_{number}": "x" * 1500 for number in range(20)}
    reference, verifier = pushed(rp, **many)
    page = browser.get(address_of(rp, reference))
    answer = browser.sign_in(officer, provider.clock, page)
    assert rp.redeem(Answer(address=answer.headers["Location"]).parameters["code"], verifier).status_code == 200


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "another redirect_uri": ({"redirect_uri": "https://attacker.example/"}, "invalid_request"),
    "no redirect_uri": ({"redirect_uri": None}, "invalid_request"),
    "no code_challenge": ({"code_challenge": None}, "invalid_request"),
    "plain PKCE": ({"code_challenge_method": "plain"}, "invalid_request"),
    "another response_type": ({"response_type": "token"}, "unsupported_response_type"),
    "an unknown response_mode": ({"response_mode": "pigeon"}, "invalid_request"),
    "a resource it is not registered for": ({"resource": "https://elsewhere.example"}, "invalid_target"),
    "two prompts that exclude each other": ({"prompt": "none login"}, "invalid_request"),
    "a hint that is no ID token": ({"id_token_hint": "x.y.z"}, "invalid_request"),
    "claims that cannot be read": ({"claims": "{"}, "invalid_request"),
    "a request_uri": ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
    "a request_uri of the web": ({"request_uri": "https://rp.example/request.jwt"}, "invalid_request"),
    "another client_id": ({"client_id": "somebody-else"}, "invalid_client"),
    "a parameter twice": ({"nonce": ["a", "b"]}, "invalid_request"),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_what_authorize_would_refuse_is_refused_when_it_is_pushed(provider: OidcWorld, refused: str) -> None:
    changes, error = REFUSED[refused]
    rp = provider.relying_party()
    pairs, _ = asked(rp, **changes)
    answer = push(rp, pairs)
    assert answer.status_code == (401 if error == "invalid_client" else 400)
    assert answer.json()["error"] == error
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Location" not in answer.headers


def test_a_refusal_is_in_the_log_and_uses_up_the_assertion(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    pairs, _ = asked(rp, scope="email", response_type="token")
    assertion = rp.assertion()
    assert push(rp, pairs, assertion=assertion).status_code == 400
    (event,) = provider.events("oidc.request.refused")
    assert (event["client"], event["reason"]) == (rp.client.client_id, "unsupported_response_type")
    assert push(rp, asked(rp)[0], assertion=assertion).json()["error"] == "invalid_client"


def test_the_client_is_the_one_that_authenticated_whether_it_says_so_or_not(provider: OidcWorld) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    reference = reference_in(push(rp, asked(rp, client_id=None)[0]))
    assert "code=" in browser.get(address_of(rp, reference)).headers["Location"]


def test_nobody_pushes_without_authenticating(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    pairs, _ = asked(rp)
    answer = push(rp, pairs, assertion="x")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_only_a_form_is_pushed_and_only_by_post(provider: OidcWorld) -> None:
    session = provider.browser().session
    assert session.get(f"{provider.issuer}/par").status_code == 405
    assert session.put(f"{provider.issuer}/par").status_code == 405
    answer = session.post(f"{provider.issuer}/par", json={"client_id": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_client_registered_to_push_pushes(provider: OidcWorld) -> None:
    rp = provider.relying_party(oauth=OAuthSettings(require_pushed_authorization_requests=True))
    refused = Answer(address=provider.browser().get(rp.request()[0]).headers["Location"]).parameters
    assert (refused["error"], refused["iss"]) == ("invalid_request", provider.issuer)
    browser = provider.signed_in(provider.officer())
    assert "code=" in browser.get(address_of(rp, pushed(rp)[0])).headers["Location"]


def test_what_was_pushed_cannot_be_read_from_the_table(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    reference, _ = pushed(rp, login_hint="olive.testcase@council.example", state="unmistakable-state")
    with provider.gateway.database.read() as session:
        rows = session.scalars(select(PushedRequestRow).where(PushedRequestRow.client_id == rp.client.client_id)).all()
        [row] = rows
        kept = row.sealed + row.reference_hash
    for text in ("olive", "unmistakable", reference.rpartition(":")[2], "redirect_uri"):
        assert text.encode() not in kept


@pytest.mark.own_provider
def test_what_nobody_came_for_is_purged_in_batches(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    for _ in range(3):
        pushed(rp)
    provider.advance(minutes=62)
    kept, _ = pushed(rp)
    with provider.gateway.database.write() as session:
        assert purge_pushed(session, now=provider.clock.now(), limit=2) == 2
        assert purge_pushed(session, now=provider.clock.now(), limit=2) == 1
        assert purge_pushed(session, now=provider.clock.now(), limit=2) == 0
        assert session.scalar(select(func.count()).select_from(PushedRequestRow)) == 1
    assert "code=" in provider.signed_in(provider.officer()).get(address_of(rp, kept)).headers["Location"]
