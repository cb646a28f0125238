"""`id_token_hint`, a `sub` asked for by value, and `login_hint` (OIDC Core §3.1.2.1, §5.5.1)."""

import json
from urllib.parse import unquote

import pytest

from gateway.signing.signing_keys import Purpose
from gateway.wire.jws import issue_jwt, unverified_claims
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import OidcWorld, Person, RelyingParty
from tests.oidc.authorization.asking import answer_of, authorization_of, error_of


def id_token(world: OidcWorld, rp: RelyingParty, person: Person) -> str:
    code, verifier = rp.code(world.signed_in(person))
    return str(rp.redeem(code, verifier).json()["id_token"])


def naming(sub: str) -> str:
    return json.dumps({"id_token": {"sub": {"value": sub}}})


def test_the_person_of_the_hint_is_answered_for_however_old_it_is(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    hint = id_token(world, rp, officer)
    world.advance(hours=25)
    browser = world.signed_in(officer)
    for asked in ({"id_token_hint": hint}, {"claims": naming(str(unverified_claims(hint)["sub"]))}):
        assert "code" in answer_of(browser.get(rp.request(prompt="none", **asked)[0]))


@pytest.mark.parametrize("way", ["hint", "sub"])
def test_somebody_else_has_to_sign_in_and_nobody_else_is_answered_for(
    world: OidcWorld, clock: FrozenClock, way: str
) -> None:
    rp, named, other = world.relying_party(), world.officer(), world.officer()
    hint = id_token(world, rp, named)
    asked = {"id_token_hint": hint} if way == "hint" else {"claims": naming(str(unverified_claims(hint)["sub"]))}
    browser = world.signed_in(other)
    world.advance(minutes=3)
    assert error_of(browser.get(rp.request(prompt="none", **asked)[0])) == "login_required"
    page = browser.get(rp.request(**asked)[0])
    assert "Password" in page.text
    assert error_of(browser.sign_in(other, clock, page)) == "login_required"
    (event,) = world.events("oidc.authorization.refused")
    assert event["account"] == str(other.account.account_id)
    world.advance(seconds=1)
    page = browser.get(rp.request(**asked)[0])
    code = answer_of(browser.sign_in(named, clock, page))["code"]
    assert authorization_of(world, code).account_id == named.account.account_id


def test_two_names_that_differ_are_nobody(world: OidcWorld) -> None:
    rp, one, other = world.relying_party(), world.officer(), world.officer()
    claims = naming(str(unverified_claims(id_token(world, rp, one))["sub"]))
    hint = id_token(world, rp, other)
    for person in (one, other):
        asked = {"id_token_hint": hint, "claims": claims, "prompt": "none"}
        browser = world.signed_in(person)
        world.advance(minutes=3)
        assert error_of(browser.get(rp.request(**asked)[0])) == "login_required"


def test_a_hint_that_is_no_id_token_of_ours_for_this_client_is_refused(world: OidcWorld) -> None:
    rp, stranger, officer = world.relying_party(), world.relying_party(), world.officer()
    ours = world.gateway.signing.current(Purpose.TOKENS)
    hint = id_token(world, rp, officer)
    claims = dict(unverified_claims(hint))
    header, payload, signature = hint.split(".")
    browser = world.signed_in(officer)
    for wrong in (
        "not a token",
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        issue_jwt(claims, typ="JWT", signer=PrivateKeySigner.generate("ES256")),
        issue_jwt(claims, typ="at+jwt", signer=ours),
        issue_jwt(claims | {"iss": "https://other.example"}, typ="JWT", signer=ours),
        issue_jwt(claims | {"aud": stranger.client.client_id}, typ="JWT", signer=ours),
        id_token(world, stranger, officer),
    ):
        assert error_of(browser.get(rp.request(id_token_hint=wrong)[0])) == "invalid_request", wrong
    assert "code" in answer_of(browser.get(rp.request(id_token_hint=issue_jwt(claims, typ="JWT", signer=ours))[0]))


def test_a_sub_of_another_sector_names_nobody_here(world: OidcWorld) -> None:
    rp, stranger, officer = world.relying_party(), world.relying_party(), world.officer()
    browser = world.signed_in(officer)
    elsewhere = str(unverified_claims(id_token(world, stranger, officer))["sub"])
    world.advance(minutes=3)
    assert error_of(browser.get(rp.request(prompt="none", claims=naming(elsewhere))[0])) == "login_required"


def test_a_login_hint_is_filled_in_and_says_nothing_about_who_there_is(world: OidcWorld) -> None:
    rp, officer = world.relying_party(), world.officer()
    known = world.browser().get(rp.request(login_hint=officer.email)[0])
    unknown = world.browser().get(rp.request(login_hint="nobody.sample@council.example")[0])
    assert f'value="{officer.email}"' in known.text
    assert 'value="nobody.sample@council.example"' in unknown.text
    for page in (known, unknown):
        assert page.status_code == 200
        # Nothing of it is in our own address, which histories and logs keep.
        assert "council.example" not in unquote(page.url)
        assert "bm9ib2R5" not in page.url


@pytest.mark.parametrize(
    "hint", ["+44 7700 900123", '"><script>alert(1)</script>@x', "a" * 300 + "@council.example", "ünïcode"]
)
def test_a_login_hint_that_is_no_address_does_no_harm(world: OidcWorld, hint: str) -> None:
    page = world.browser().get(world.relying_party().request(login_hint=hint)[0])
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "a" * 300 not in page.text


def test_a_login_hint_changes_nothing_for_who_is_signed_in(world: OidcWorld) -> None:
    browser = world.signed_in(world.officer())
    rp = world.relying_party()
    assert "code" in answer_of(browser.get(rp.request(login_hint="nobody.sample@council.example")[0]))
