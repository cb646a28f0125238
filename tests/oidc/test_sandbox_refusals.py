"""Refusals of a client that is known: a sandbox says what was sent, what is registered and what would do.

Production says its few words and no more, which every test here holds against it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from gateway.oidc.sandbox_refusals import NOTE_HEADER, REMEDIES
from tests.kit.oidc_world import Answer, OidcWorld, RelyingParty
from tests.kit.pushing import address_of, asked, push, pushed

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = "docs/relying-parties.md"

Changes = dict[str, Any]
REQUESTS: list[tuple[tuple[Changes, Changes], str, str]] = [
    (
        ({"scopes": ("openid",)}, {"scope": "openid email"}),
        "This client is not registered for one of these scopes",
        "You sent scope openid email. Registered for this client: openid",
    ),
    (
        ({}, {"resource": "https://other.example/api"}),
        "This client is not registered for one of these resources",
        "You sent resource https://other.example/api. Registered for this client: ",
    ),
    (
        ({"grant_types": ("client_credentials",)}, {}),
        "This client is not registered to sign people in",
        "Registered grant_types: client_credentials; account_kinds: officer, citizen",
    ),
    (({}, {"response_type": None}), "response_type is missing", "Send response_type=code"),
    (({}, {"response_mode": "web_message"}), "This response_mode is not supported", "Known here: query, fragment"),
    (({}, {"prompt": "create"}), "This prompt is not known here", "Known here: none, login"),
    (
        ({}, {"code_challenge": None, "code_challenge_method": None}),
        "code_challenge is missing: PKCE is required",
        "send code_challenge = base64url(SHA-256(code_verifier))",
    ),
    (({}, {"code_challenge_method": "plain"}), "The only code_challenge_method here is S256", "Turn PKCE on"),
]
"""What the client is registered with and what its request says, where it differs; the words; what is told besides."""


@pytest.mark.parametrize(("changes", "words", "told"), REQUESTS)
def test_a_request_that_is_refused_is_explained_at_both_endpoints(
    provider: OidcWorld, sandbox: OidcWorld, changes: tuple[Changes, Changes], words: str, told: str
) -> None:
    client, request = changes
    for world in (provider, sandbox):
        rp = world.relying_party(**client)
        pairs, _ = asked(rp, **request)
        at_par = push(rp, pairs).json()["error_description"]
        location = world.browser().get(rp.request(**request)[0]).headers["Location"]
        by_redirect = Answer(address=location).parameters["error_description"]
        assert at_par == by_redirect
        if world is provider:
            assert at_par == words
        else:
            assert at_par.startswith(f"{words}. ")
            assert told in at_par
            assert_a_description(at_par)


def test_a_pushed_redirect_uri_is_compared_with_the_registered_ones(provider: OidcWorld, sandbox: OidcWorld) -> None:
    silent, described = (
        push(rp, asked(rp, redirect_uri="https://a.example/cb")[0]).json()["error_description"]
        for _, rp in each(provider, sandbox)
    )
    assert silent == "The redirect_uri is not registered for this client"
    assert (
        "You sent redirect_uri https://a.example/cb. Registered for this client: http://localhost:9/callback"
        in described
    )
    assert_a_description(described)


def test_a_client_that_must_push_hears_where(sandbox: OidcWorld) -> None:

    rp = sandbox.relying_party()
    sandbox.change_client(
        replace(rp.client, oauth=replace(rp.client.oauth, require_pushed_authorization_requests=True))
    )
    location = sandbox.browser().get(rp.request()[0]).headers["Location"]
    assert (
        f"POST the same parameters to {sandbox.issuer}/par" in Answer(address=location).parameters["error_description"]
    )


def test_scopes_that_are_passed_over_are_noted(provider: OidcWorld, sandbox: OidcWorld) -> None:
    for world, rp in each(provider, sandbox):
        browser, more = world.signed_in(world.officer()), {"scope": "openid benefits"}
        answers = (push(rp, asked(rp, **more)[0]), browser.get(rp.request(**more)[0]))
        good = (push(rp, asked(rp)[0]), browser.get(rp.request()[0]))
        assert all(answer.status_code in {201, 303} for answer in (*answers, *good))
        assert all(NOTE_HEADER not in answer.headers for answer in good)
        notes = {answer.headers.get(NOTE_HEADER) for answer in answers}
        told = (
            "scope benefits means nothing here and is passed over; registered: openid, profile, email, offline_access"
        )
        assert notes == ({None} if world is provider else {told})


def test_a_request_uri_says_why_it_cannot_be_used(provider: OidcWorld, sandbox: OidcWorld) -> None:
    for world, rp in each(provider, sandbox):
        browser, other = world.signed_in(world.officer()), world.relying_party()
        used, _ = pushed(rp)
        assert "code=" in browser.get(address_of(rp, used)).headers["Location"]
        late, _ = pushed(rp)
        cases = [(rp, used, "This request_uri was used"), (other, pushed(rp)[0], "was pushed by another client")]
        pages = [(told, browser.get(address_of(who, uri)).text) for who, uri, told in cases]
        world.advance(seconds=91)
        pages.append(("the browser has to arrive with it within 90 s", browser.get(address_of(rp, late)).text))
        for told, page in pages:
            assert "There is a problem" in page
            assert (told in page) is (world is sandbox), told


Case = Callable[[OidcWorld, RelyingParty], requests.Response]


def used_code(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    code, verifier = rp.code(world.signed_in(world.officer()))
    assert rp.redeem(code, verifier).status_code == 200
    world.advance(seconds=5)
    return rp.redeem(code, verifier)


def late_code(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    code, verifier = rp.code(world.signed_in(world.officer()))
    world.advance(seconds=75)
    return rp.redeem(code, verifier)


def code_of_another(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    code, verifier = world.relying_party().code(world.signed_in(world.officer()))
    return rp.redeem(code, verifier)


def code_of_a_session_that_ended(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    officer = world.officer()
    code, verifier = rp.code(world.signed_in(officer))
    gateway = world.gateway
    with gateway.database.write() as session:
        gateway.people.ends.end_all_of(session, officer.account.account_id, reason="test", at=world.clock.now())
    return rp.redeem(code, verifier)


def other_address(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    code, verifier = rp.code(world.signed_in(world.officer()))
    return rp.redeem(code, verifier, redirect_uri="http://localhost:9/other")


def other_verifier(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    code, _ = rp.code(world.signed_in(world.officer()))
    return rp.redeem(code, "x" * 43)


def no_verifier(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    code, _ = rp.code(world.signed_in(world.officer()))
    return rp.redeem(code, None)


def used_refresh_token(world: OidcWorld, rp: RelyingParty) -> requests.Response:
    officer = world.officer()
    tokens = rp.tokens(world.signed_in(officer), officer, scope="openid offline_access")
    first = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert rp.ask(**first).status_code == 200
    world.advance(seconds=40)
    return rp.ask(**first)


GRANTS: list[tuple[Case, str, str]] = [
    (lambda _, rp: rp.redeem("no-code", "x" * 43), "The code cannot be used", "No such code is known here"),
    (used_code, "The code cannot be used", "was used before, 5 s ago"),
    (late_code, "The code cannot be used", "expired 15 s ago; it is good for 60 s"),
    (code_of_another, "The code cannot be used", "was issued to another client than client-"),
    (code_of_a_session_that_ended, "The code cannot be used", "was taken back: its session ended"),
    (
        other_address,
        "redirect_uri is not that of the authorization request",
        "You sent redirect_uri http://localhost:9/other; the sign-in was asked for with http://localhost:9/callback",
    ),
    (other_verifier, "code_verifier does not fit the code_challenge", "and that of the code_verifier you sent is "),
    (no_verifier, "code_verifier is missing", "Send the one whose SHA-256"),
    (used_refresh_token, "The refresh token cannot be used", "This refresh token was used before, 40 s ago"),
    (
        lambda _, rp: rp.ask(grant_type="refresh_token", refresh_token="nothing"),
        "The refresh token cannot be used",
        "No such refresh token is known here",
    ),
    (
        lambda _, rp: rp.ask(grant_type="password"),
        "This grant_type is not supported",
        "Known here: authorization_code, ",
    ),
    (
        lambda _, rp: rp.ask(grant_type="client_credentials", scope="openid"),
        "This client is not registered for one of these scopes",
        "You sent scope openid. Registered for this client: openid, profile, email, offline_access; and openid, ",
    ),
    (
        lambda _, rp: rp.ask(grant_type="client_credentials", resource="https://other.example"),
        "The resource was not granted to this client",
        "You sent resource https://other.example. Registered for this client: ",
    ),
]


@pytest.mark.parametrize(("case", "words", "told"), GRANTS)
def test_a_grant_that_is_refused_is_explained(
    provider: OidcWorld, sandbox: OidcWorld, case: Case, words: str, told: str
) -> None:
    silent, helpful = (case(world, rp) for world, rp in each(provider, sandbox))
    assert (silent.status_code, helpful.status_code) == (400, 400)
    assert silent.json()["error"] == helpful.json()["error"]
    assert silent.json()["error_description"] == words
    described = helpful.json()["error_description"]
    assert described.startswith(f"{words}. ")
    assert told in described
    assert_a_description(described)


def test_a_grant_that_is_not_registered_names_those_that_are(provider: OidcWorld, sandbox: OidcWorld) -> None:
    for world in (provider, sandbox):
        rp = world.relying_party(grant_types=("authorization_code",))
        described = rp.ask(grant_type="client_credentials").json()["error_description"]
        assert ("Registered grant_types: authorization_code;" in described) is (world is sandbox)


def test_what_is_explained_holds_no_code_and_no_verifier(sandbox: OidcWorld) -> None:
    rp = sandbox.relying_party()
    code, verifier = rp.code(sandbox.signed_in(sandbox.officer()))
    for refused in (rp.redeem(code, "y" * 43), rp.redeem(code, verifier, redirect_uri="http://localhost:9/x")):
        assert code not in refused.text
        assert verifier not in refused.text
        assert "y" * 43 not in refused.text


def test_a_sign_out_that_is_refused_is_explained(provider: OidcWorld, sandbox: OidcWorld) -> None:
    for world, rp in each(provider, sandbox):
        name = rp.client.client_id
        wrong = {"client_id": name, "post_logout_redirect_uri": "https://a.example/<out>"}
        page = world.browser().get(f"{world.issuer}/logout?{urlencode(wrong)}")
        assert page.status_code == 400
        assert "The post_logout_redirect_uri is not registered for this client" in page.text
        assert ("You sent https://a.example/&lt;out&gt;" in page.text) is (world is sandbox)
        assert ("Registered as post_logout_redirect_uris: none" in page.text) is (world is sandbox)
        assert (DOCUMENT in page.text) is (world is sandbox)
        nobody = world.browser().get(f"{world.issuer}/logout?client_id=nobody-known")
        assert ("You sent client_id nobody-known" in nobody.text) is (world is sandbox)


def test_every_remedy_is_for_words_that_are_still_used() -> None:
    folder = REPOSITORY / "gateway" / "oidc"
    sources = [path.read_text() for path in folder.rglob("*.py") if path.name != "sandbox_refusals.py"]
    assert [words for words in REMEDIES if not any(f'"{words}"' in source for source in sources)] == []


def each(*worlds: OidcWorld) -> list[tuple[OidcWorld, RelyingParty]]:
    return [(world, world.relying_party()) for world in worlds]


def assert_a_description(text: str) -> None:
    """RFC 6749 §5.2: printable ASCII without quotes and backslashes."""
    assert text.isascii()
    assert text.isprintable()
    assert not set('"\\') & set(text)
    assert f"of {DOCUMENT} in the gateway's project" in text
