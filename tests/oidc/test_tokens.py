"""Refreshing, a client's own tokens, resources, and who a token makes the caller."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from gateway.identity.caller import Caller, Presented
from gateway.oidc.errors import TokenRefused
from gateway.oidc.models import AccessTokenRow, AuthorizationRow, RefreshTokenRow
from gateway.oidc.tokens.revocation import purge_access_tokens, purge_authorizations, purge_refresh_tokens
from gateway.purging import Purge
from gateway.wire.jws import unverified_claims, unverified_header
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import COUNCIL, Answer, OidcWorld


def caller_of(world: OidcWorld, access_token: str) -> Caller:
    shown = Presented(
        method="POST", endpoint=world.gateway.provider.endpoints.sharing, authorization=(f"Bearer {access_token}",)
    )
    return world.gateway.provider.caller_from_request(shown, world.clock.now())


def test_a_refresh_token_is_exchanged_for_the_next(world: OidcWorld, clock: FrozenClock) -> None:
    rp = world.relying_party()
    first = rp.tokens(world.browser(), world.officer(), scope="openid offline_access")
    clock.advance(minutes=10)
    second = rp.ask(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert rp.userinfo(second["access_token"]).status_code == 200
    before, after = unverified_claims(first["id_token"]), unverified_claims(second["id_token"])
    # Refreshing is not signing in: time and strength stay those of the sign-in.
    assert {name: before[name] for name in ("sub", "auth_time", "acr", "sid")} == {
        name: after[name] for name in ("sub", "auth_time", "acr", "sid")
    }
    third = rp.ask(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert third.status_code == 200
    assert len(world.events("oidc.tokens.refreshed")) == 2


def test_a_refresh_token_needs_offline_access(world: OidcWorld) -> None:
    rp = world.relying_party(grant_types=("authorization_code",))
    assert "refresh_token" not in rp.tokens(world.browser(), world.officer(), scope="openid offline_access")


def test_an_officers_family_ends_with_the_working_day(world: OidcWorld, clock: FrozenClock) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid offline_access")
    clock.advance(hours=11, minutes=59)
    tokens = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    clock.advance(minutes=1)
    late = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert late.json()["error"] == "invalid_grant"


def test_a_refresh_cannot_widen_the_scope(world: OidcWorld) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid offline_access")
    wider = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="openid email")
    assert wider.json()["error"] == "invalid_scope"
    # And the refusal did not use the token up.
    narrower = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="openid")
    assert narrower.json()["scope"] == "openid"


def test_another_clients_refresh_token_is_refused_and_stays_good(world: OidcWorld) -> None:
    rp, thief = world.relying_party(), world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid offline_access")
    assert thief.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).status_code == 400
    assert rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).status_code == 200


def test_a_client_gets_a_token_in_its_own_name(world: OidcWorld) -> None:
    rp = world.relying_party()
    tokens = rp.ask(grant_type="client_credentials").json()
    assert set(tokens) == {"access_token", "token_type", "expires_in"}
    claims = unverified_claims(tokens["access_token"])
    assert unverified_header(tokens["access_token"])["typ"] == "at+jwt"
    assert claims["aud"] == world.sharing
    assert claims["sub"] == claims["client_id"] == rp.client.client_id
    caller = caller_of(world, tokens["access_token"])
    assert caller.officer is None
    assert caller.client.client_id == rp.client.client_id
    assert rp.userinfo(tokens["access_token"]).status_code == 401


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"resource": "https://elsewhere.example"}, "invalid_target"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "anything"}, "invalid_scope"),
    ],
)
def test_a_client_gets_nothing_it_is_not_registered_for(world: OidcWorld, asked: dict[str, Any], error: str) -> None:
    rp = world.relying_party()
    assert rp.ask(grant_type="client_credentials", **asked).json()["error"] == error
    (refused,) = world.events("oidc.tokens.refused")
    assert refused["reason"] == error
    other = world.relying_party(grant_types=("authorization_code",))
    assert other.ask(grant_type="client_credentials").json()["error"] == "unauthorized_client"


def test_an_officers_token_for_sharing_makes_the_officer_the_caller(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer = world.relying_party(), world.officer()
    tokens = rp.tokens(world.browser(), officer, resource=world.sharing)
    caller = caller_of(world, tokens["access_token"])
    assert caller.member_code == COUNCIL
    assert caller.officer is not None
    assert caller.officer.account_id == officer.account.account_id
    assert caller.officer.roles == ("benefits-officer",)
    assert caller.officer.acr == "AAL2"
    assert caller.officer.auth_time == clock.now()
    # A token for one resource opens no other.
    assert rp.userinfo(tokens["access_token"]).status_code == 401


def test_two_resources_may_be_asked_for_and_one_of_them_redeemed(world: OidcWorld) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    userinfo = f"{world.issuer}/userinfo"
    both = rp.tokens(browser, officer, resource=[world.sharing, userinfo])
    assert unverified_claims(both["access_token"])["aud"] == [world.sharing, userinfo]
    assert rp.userinfo(both["access_token"]).status_code == 200
    answer, verifier = rp.sign_in(browser, officer, resource=[world.sharing, userinfo])
    one = rp.redeem(answer["code"], verifier, resource=userinfo).json()
    assert unverified_claims(one["access_token"])["aud"] == userinfo
    with pytest.raises(TokenRefused):
        caller_of(world, one["access_token"])


def test_no_token_for_sharing_without_two_factors_or_for_a_citizen(world: OidcWorld) -> None:
    rp = world.relying_party()
    answer, _ = rp.sign_in(world.browser(), world.officer(with_code=False), resource=world.sharing)
    assert answer["error"] == "unmet_authentication_requirements"
    answer, _ = rp.sign_in(world.browser(), world.citizen(), resource=world.sharing)
    assert answer["error"] == "access_denied"


def test_a_caller_is_who_they_are_now_not_when_the_token_was_issued(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer = world.relying_party(), world.officer(roles=("benefits-officer", "auditor"))
    token = rp.tokens(world.browser(), officer, resource=world.sharing)["access_token"]
    world.change_client(replace(rp.client, resources=()))
    with pytest.raises(TokenRefused):
        caller_of(world, token)
    world.change_client(replace(rp.client, active=False))
    with pytest.raises(TokenRefused):
        caller_of(world, token)
    world.change_client(rp.client)
    assert caller_of(world, token).officer is not None
    clock.advance(minutes=6)
    with pytest.raises(TokenRefused):
        caller_of(world, token)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic abc", "Bearer a.b.c", "Bearer x", "DPoP x"])
def test_without_a_usable_token_the_answer_is_a_challenge(world: OidcWorld, header: str | None) -> None:
    rp = world.relying_party()
    headers = {} if header is None else {"Authorization": header}
    answer = rp.userinfo("", headers=headers)
    assert answer.status_code == 401
    challenge = answer.headers["WWW-Authenticate"]
    # RFC 9449 §7.1: the challenge is for the scheme that was tried, and names the other way where none was.
    assert challenge.startswith('DPoP realm="gateway"' if header == "DPoP x" else 'Bearer realm="gateway"')
    assert "algs=" in challenge
    # RFC 6750 §3.1: no error code for a request that carried no token.
    assert ("error=" in challenge) == (header in {"Bearer a.b.c", "Bearer x", "DPoP x"})


def test_an_id_token_is_no_access_token(world: OidcWorld) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer())
    assert rp.userinfo(tokens["id_token"]).status_code == 401


def test_without_the_openid_scope_userinfo_says_which_scope_is_missing(world: OidcWorld) -> None:
    rp = world.relying_party()
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid email offline_access")
    narrow = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="email").json()
    answer = rp.userinfo(narrow["access_token"])
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_a_token_we_do_not_know_is_refused_though_our_own_key_signed_it(world: OidcWorld) -> None:
    rp = world.relying_party()
    token = rp.tokens(world.browser(), world.officer())["access_token"]
    assert rp.userinfo(token).status_code == 200
    with world.gateway.database.write() as session:
        session.execute(delete(AccessTokenRow))
    assert rp.userinfo(token).status_code == 401


def test_neither_codes_nor_tokens_are_in_the_database(world: OidcWorld) -> None:
    rp = world.relying_party()
    answer, verifier = rp.sign_in(world.browser(), world.officer(), scope="openid offline_access")
    tokens = rp.redeem(answer["code"], verifier).json()
    with world.gateway.database.read() as session:
        everything = str(
            [
                [getattr(row, column.name) for column in table.__table__.columns]
                for table in (AuthorizationRow, AccessTokenRow, RefreshTokenRow)
                for row in session.scalars(select(table))
            ]
        )
    for secret in (answer["code"], verifier, tokens["access_token"], tokens["refresh_token"], tokens["id_token"]):
        assert secret not in everything


@pytest.mark.own_provider
def test_purge_forgets_what_is_over_in_bounded_steps_and_nothing_else(world: OidcWorld, clock: FrozenClock) -> None:
    rp, officer, browser = world.relying_party(), world.officer(), world.browser()
    for _ in range(3):
        rp.tokens(browser, officer)
    kept = rp.tokens(browser, officer, scope="openid offline_access")
    clock.advance(minutes=30)
    database = world.gateway.database

    def purged(purge: Purge, *limits: int) -> list[int]:
        counts = []
        for limit in limits:
            with database.write() as session:
                counts.append(purge(session, now=clock.now(), limit=limit))
        return counts

    # A family goes after its tokens, never with them: they might be thousands.
    assert purged(purge_authorizations, 2) == [0]
    assert purged(purge_access_tokens, 3, 3, 3) == [3, 1, 0]
    assert purged(purge_refresh_tokens, 3) == [0]
    assert purged(purge_authorizations, 2, 2, 2) == [2, 1, 0]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(AuthorizationRow)) == 1
    assert rp.ask(grant_type="refresh_token", refresh_token=kept["refresh_token"]).status_code == 200


def test_the_token_endpoint_takes_forms_by_post_alone(world: OidcWorld) -> None:
    rp = world.relying_party()
    good = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": rp.assertion(),
    }
    browser = world.browser().session
    assert browser.get(f"{world.issuer}/token", params=good).status_code == 405
    assert browser.post(f"{world.issuer}/token", params=good).json()["error"] == "invalid_request"
    as_json = browser.post(f"{world.issuer}/token", json=good)
    assert (as_json.status_code, as_json.json()["error"]) == (400, "invalid_request")
    in_address = browser.post(f"{world.issuer}/token", params=good, data={"grant_type": "client_credentials"})
    assert (in_address.status_code, in_address.json()["error"]) == (401, "invalid_client")
    assert rp.ask().json()["error"] == "invalid_request"
    assert rp.ask(grant_type="password").json()["error"] == "unsupported_grant_type"
    assert rp.ask(grant_type=["client_credentials", "password"]).json()["error"] == "invalid_request"


def test_a_disabled_member_or_client_is_nobody(world: OidcWorld) -> None:
    rp = world.relying_party()
    world.change_client(replace(rp.client, active=False))
    assert rp.ask(grant_type="client_credentials").status_code == 401
    page = world.browser().get(rp.request()[0])
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert "code" not in Answer(address=page.url).parameters
