"""Attacks on signing out: in each, the person stays signed in, and no browser is sent where it should not go."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from gateway.signing.purposes import Purpose
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jwt, unverified_claims, unverified_header
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty, hidden_fields

AFTER_LOGOUT = "http://localhost:9/signed-out"
EVIL = "https://attacker.example/"


@pytest.fixture(scope="module")
def rp(world: OidcWorld) -> RelyingParty:
    return world.relying_party(post_logout_redirect_uris=(AFTER_LOGOUT,))


@pytest.fixture(scope="module")
def victim(world: OidcWorld, rp: RelyingParty) -> tuple[Browser, str]:
    """A browser at which somebody is signed in and stays so, and their ID token."""
    browser = world.signed_in(officer := world.officer())
    return browser, str(rp.tokens(browser, officer)["id_token"])


def is_signed_in(browser: Browser) -> bool:
    return "Your account" in browser.get("/account").text


def ask(browser: Browser, **parameters: str) -> requests.Response:
    return browser.get("/logout?" + urlencode(parameters))


def refused(world: OidcWorld) -> list[dict[str, Any]]:
    return world.events("oidc.logout.refused")


# --- CSRF on logout ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["the client", "nothing"])
def test_logout_csrf_by_a_link_or_an_image_signs_nobody_out(
    rp: RelyingParty, victim: tuple[Browser, str], named: str
) -> None:
    browser, _ = victim
    answer = ask(
        browser,
        **(
            {"client_id": rp.client.client_id, "post_logout_redirect_uri": AFTER_LOGOUT}
            if named == "the client"
            else {}
        ),
    )
    assert answer.status_code == 200
    assert "Do you want to sign out?" in answer.text
    assert is_signed_in(browser)


@pytest.mark.parametrize("path", ["/logout/confirm", "/sign-out", "/sign-out/everywhere"])
def test_logout_csrf_by_a_forged_form_signs_nobody_out_and_is_recorded(
    world: OidcWorld, rp: RelyingParty, victim: tuple[Browser, str], path: str
) -> None:
    """Even where the attacker has a ticket and a form token of their own, and the browser sends its cookies."""
    browser, _ = victim
    attacker = world.signed_in(world.citizen())
    theirs = hidden_fields(ask(attacker, client_id=rp.client.client_id).text)
    before = len(refused(world))
    browser.post(path, theirs)
    assert is_signed_in(browser)
    events = refused(world)
    assert len(events) == before + 1
    assert events[0]["code"] == "csrf"
    assert events[0]["session"]


def test_logout_csrf_with_the_attackers_own_id_token_signs_nobody_else_out(
    world: OidcWorld, rp: RelyingParty, victim: tuple[Browser, str]
) -> None:
    browser, _ = victim
    attacker = world.officer()
    hint = rp.tokens(world.signed_in(attacker), attacker)["id_token"]
    assert "Do you want to sign out?" in ask(browser, id_token_hint=hint).text
    assert is_signed_in(browser)


def test_a_hint_stolen_from_another_browser_of_the_same_person_asks_first(world: OidcWorld, rp: RelyingParty) -> None:
    officer = world.officer()
    one, other = world.signed_in(officer), world.signed_in(officer)
    hint = rp.tokens(one, officer)["id_token"]
    assert "Do you want to sign out?" in ask(other, id_token_hint=hint).text
    assert is_signed_in(other)


# --- Open redirect ----------------------------------------------------------------------------------------------------

REDIRECTS = [
    EVIL,
    AFTER_LOGOUT + "/",
    AFTER_LOGOUT + "?next=" + EVIL,
    AFTER_LOGOUT + "#" + EVIL,
    AFTER_LOGOUT.upper(),
    AFTER_LOGOUT + ".attacker.example",
    AFTER_LOGOUT.replace("localhost", "localhost@attacker.example"),
    AFTER_LOGOUT.replace("localhost:9", "localhost:10"),
    AFTER_LOGOUT.replace("signed-out", "%73igned-out"),
    AFTER_LOGOUT + "/../evil",
    "//attacker.example",
    "/account",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("redirect_uri", REDIRECTS)
@pytest.mark.parametrize("by", ["id_token_hint", "client_id"])
def test_an_unregistered_address_after_logout_is_a_page_and_never_a_redirect(
    rp: RelyingParty, victim: tuple[Browser, str], redirect_uri: str, by: str
) -> None:
    browser, hint = victim
    who = {by: {"id_token_hint": hint, "client_id": rp.client.client_id}[by]}
    answer = ask(browser, post_logout_redirect_uri=redirect_uri, state="s", **who)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "Refresh" not in answer.headers
    assert "attacker.example" not in answer.text
    assert is_signed_in(browser)


def test_another_clients_address_is_not_ones_own(
    world: OidcWorld, rp: RelyingParty, victim: tuple[Browser, str]
) -> None:
    other = world.relying_party(post_logout_redirect_uris=("https://other.example/bye",))
    browser, hint = victim
    assert ask(browser, id_token_hint=hint, post_logout_redirect_uri="https://other.example/bye").status_code == 400
    swapped = ask(
        browser,
        id_token_hint=hint,
        client_id=other.client.client_id,
        post_logout_redirect_uri="https://other.example/bye",
    )
    assert swapped.status_code == 400
    # The hint of one client does not speak for another, whatever else is asked.
    assert ask(browser, id_token_hint=hint, client_id=other.client.client_id).status_code == 400
    assert is_signed_in(browser)


def test_an_address_of_nobody_we_know_leads_nowhere(world: OidcWorld) -> None:
    """An open redirect by error: neither a hint nor a client_id says whose address it would be."""
    for parameters in ({}, {"client_id": "nobody"}, {"client_id": ""}):
        answer = ask(world.browser(), post_logout_redirect_uri=AFTER_LOGOUT, **parameters)
        assert answer.status_code == 400
        assert "Location" not in answer.headers
        assert AFTER_LOGOUT not in answer.text


def test_a_disabled_client_leads_nowhere(world: OidcWorld) -> None:
    rp = world.relying_party(post_logout_redirect_uris=(AFTER_LOGOUT,))
    browser = world.signed_in(officer := world.officer())
    hint = rp.tokens(browser, officer)["id_token"]
    world.change_client(replace(rp.client, active=False))
    assert ask(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER_LOGOUT).status_code == 400
    assert is_signed_in(browser)


# --- Hints that are no ID tokens of ours ------------------------------------------------------------------------------


def resigned(hint: str, signer: PrivateKeySigner, *, typ: str = "JWT", **changes: object) -> str:
    claims = {name: value for name, value in (unverified_claims(hint) | changes).items() if value is not None}
    return issue_jwt(claims, typ=typ, signer=signer)


def unsigned(hint: str, _world: OidcWorld) -> str:
    header = b64url_encode(json.dumps(unverified_header(hint) | {"alg": "none"}).encode())
    return f"{header}.{hint.split('.')[1]}."


def hs256_with_our_public_key(hint: str, world: OidcWorld) -> str:
    key = next(
        key
        for key in requests.get(f"{world.issuer}/.well-known/jwks.json", timeout=5).json()["keys"]
        if key["kid"] == unverified_header(hint)["kid"]
    )
    header = b64url_encode(json.dumps({"alg": "HS256", "kid": key["kid"], "typ": "JWT"}).encode())
    signing_input = f"{header}.{hint.split('.')[1]}"
    mac = hmac.new(json.dumps(key).encode(), signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{b64url_encode(mac)}"


def another_issuers_key(hint: str, _world: OidcWorld) -> str:
    return resigned(hint, PrivateKeySigner.generate("ES256"))


def another_key_under_our_kid(hint: str, _world: OidcWorld) -> str:
    forged = resigned(hint, PrivateKeySigner.generate("ES256"))
    header = b64url_encode(json.dumps(unverified_header(hint)).encode())
    return ".".join((header, *forged.split(".")[1:]))


def key_in_its_own_header(hint: str, _world: OidcWorld) -> str:
    signer = PrivateKeySigner.generate("ES256")
    header = unverified_header(hint) | {"jwk": signer.public_jwk(), "kid": signer.key_id}
    signing_input = f"{b64url_encode(json.dumps(header).encode())}.{hint.split('.')[1]}"
    return f"{signing_input}.{b64url_encode(signer.sign(signing_input.encode()))}"


def another_algorithm_of_ours(hint: str, _world: OidcWorld) -> str:
    header = b64url_encode(json.dumps(unverified_header(hint) | {"alg": "PS256"}).encode())
    return ".".join((header, *hint.split(".")[1:]))


def changed_payload(hint: str, _world: OidcWorld) -> str:
    header, _, signature = hint.split(".")
    claims = unverified_claims(hint) | {"sid": secrets.token_urlsafe(32)}
    return f"{header}.{b64url_encode(json.dumps(claims).encode())}.{signature}"


FORGERIES: tuple[Callable[[str, OidcWorld], str], ...] = (
    unsigned,
    hs256_with_our_public_key,
    another_issuers_key,
    another_key_under_our_kid,
    key_in_its_own_header,
    another_algorithm_of_ours,
    changed_payload,
    lambda _hint, _world: "not-a-token",
    lambda hint, _world: hint + "x",
    lambda hint, _world: hint.rpartition(".")[0],
)


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_hint_that_is_no_id_token_of_ours_signs_nobody_out(
    world: OidcWorld, victim: tuple[Browser, str], forge: Callable[[str, OidcWorld], str]
) -> None:
    browser, hint = victim
    before = len(refused(world))
    answer = ask(browser, id_token_hint=forge(hint, world), post_logout_redirect_uri=AFTER_LOGOUT)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert hint not in answer.text
    assert is_signed_in(browser)
    assert len(refused(world)) == before + 1


@pytest.mark.parametrize("kind", ["access token", "logout token", "another issuer"])
def test_another_token_of_ours_is_no_hint(
    world: OidcWorld, rp: RelyingParty, victim: tuple[Browser, str], kind: str
) -> None:
    """Token confusion: what is signed with the same keys, for something else."""
    browser, hint = victim
    signer = world.gateway.signing.current(Purpose.TOKENS)
    claims = unverified_claims(hint)
    forged = {
        "access token": lambda: issue_jwt(claims, typ="at+jwt", signer=signer),
        "logout token": lambda: issue_jwt(claims, typ="logout+jwt", signer=signer),
        "another issuer": lambda: issue_jwt(claims | {"iss": "https://other.example"}, typ="JWT", signer=signer),
    }[kind]()
    assert ask(browser, id_token_hint=forged).status_code == 400
    assert is_signed_in(browser)


# --- Replay, state, form ----------------------------------------------------------------------------------------------


def test_a_replayed_logout_request_does_not_end_a_later_session(world: OidcWorld, rp: RelyingParty) -> None:
    browser, officer = world.browser(), world.officer()
    hint = rp.tokens(browser, officer)["id_token"]
    posted = requests.post(f"{world.issuer}/logout", data={"id_token_hint": hint}, allow_redirects=False, timeout=10)
    ticket_address = posted.headers["Location"]
    assert "You have signed out" in browser.get(ticket_address).text
    browser.sign_in(officer, _later(world))
    for replayed in (ticket_address, "/logout?" + urlencode({"id_token_hint": hint})):
        assert "Do you want to sign out?" in browser.get(replayed).text
        assert is_signed_in(browser)


def _later(world: OidcWorld) -> FrozenClock:
    # Each security code works once: the next one is that of half a minute later, which is accepted already.
    return FrozenClock(world.clock.now() + timedelta(seconds=30))


@pytest.mark.parametrize("change", ["another character", "another ticket", "nothing"])
def test_a_ticket_that_is_not_ours_is_a_page(world: OidcWorld, victim: tuple[Browser, str], change: str) -> None:
    browser, hint = victim
    posted = requests.post(f"{world.issuer}/logout", data={"id_token_hint": hint}, allow_redirects=False, timeout=10)
    ticket = posted.headers["Location"].partition("ticket=")[2]
    wrong = {"another character": "A" + ticket[1:], "another ticket": secrets.token_urlsafe(40), "nothing": ""}[change]
    assert browser.get(f"/logout/continue?ticket={wrong}").status_code == 400
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    "state",
    ['"><script>alert(1)</script>', "a&post_logout_redirect_uri=https://attacker.example", "#x", "a b%0d%0aX: y"],
)
def test_state_injection_comes_back_as_nothing_but_state(world: OidcWorld, rp: RelyingParty, state: str) -> None:
    browser = world.signed_in(officer := world.officer())
    hint = rp.tokens(browser, officer)["id_token"]
    asked = ask(browser, client_id=rp.client.client_id, post_logout_redirect_uri=AFTER_LOGOUT, state=state)
    assert "<script>alert" not in asked.text
    answer = ask(browser, id_token_hint=hint, post_logout_redirect_uri=AFTER_LOGOUT, state=state)
    target = urlsplit(answer.headers["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == AFTER_LOGOUT
    assert parse_qsl(target.query) == [("state", state)]
    assert not target.fragment
    assert "X" not in answer.headers


def test_a_state_that_is_no_text_is_refused(world: OidcWorld, victim: tuple[Browser, str]) -> None:
    browser, hint = victim
    for state in ("a\r\nSet-Cookie: x=y", "nul\x00", "x" * 9000):
        answer = ask(browser, id_token_hint=hint, state=state)
        assert answer.status_code in {400, 414}
        assert "Set-Cookie: x" not in str(answer.headers)
    assert is_signed_in(browser)


@pytest.mark.parametrize("name", ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"])
def test_a_parameter_that_comes_twice_is_refused(rp: RelyingParty, victim: tuple[Browser, str], name: str) -> None:
    browser, hint = victim
    values = {
        "id_token_hint": hint,
        "client_id": rp.client.client_id,
        "post_logout_redirect_uri": AFTER_LOGOUT,
        "state": "s",
    }
    pairs = [*values.items(), (name, values[name])]
    assert browser.get("/logout?" + urlencode(pairs)).status_code == 400
    assert is_signed_in(browser)


def test_a_proved_clients_rejected_request_names_the_client_in_the_log(
    world: OidcWorld, rp: RelyingParty, victim: tuple[Browser, str]
) -> None:
    _, hint = victim
    before = len(refused(world))
    ask(world.browser(), id_token_hint=hint, post_logout_redirect_uri=EVIL)
    events = refused(world)
    assert len(events) == before + 1
    assert events[0]["client"] == rp.client.client_id


def test_a_stranger_s_rejected_requests_are_counted_and_not_recorded_one_by_one(world: OidcWorld) -> None:
    before = len(refused(world))
    for _ in range(3):
        ask(world.browser(), id_token_hint="x.y.z")
    assert len(refused(world)) == before


@pytest.mark.parametrize("path", ["/logout", "/logout/continue", "/signed-out", "/sign-out/everywhere"])
def test_clickjacking_no_sign_out_page_can_be_framed_or_cached(victim: tuple[Browser, str], path: str) -> None:
    browser, _ = victim
    answer = browser.get(path)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
