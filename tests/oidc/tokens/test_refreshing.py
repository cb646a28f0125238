"""Refresh tokens: rotated, a lost answer is given again for a short while, and a replay ends the family."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from gateway.directory.oauth import OAuthSettings
from gateway.identity.accounts import suspend_account
from gateway.oidc.authorization.codes import hash_of
from gateway.oidc.models import RefreshTokenRow
from gateway.oidc.tokens.refresh import forget_kept_answers
from gateway.wire.jws import unverified_claims, unverified_header
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.tokens import refresh, with_proof

OFFLINE = "openid email offline_access"


def first_tokens(provider: OidcWorld, rp: RelyingParty, **changes: Any) -> dict[str, Any]:
    code, verifier = rp.code(provider.signed_in(provider.officer()), **{"scope": OFFLINE} | changes)
    tokens: dict[str, Any] = rp.redeem(code, verifier).json()
    return tokens


def row_of(provider: OidcWorld, token: str) -> RefreshTokenRow:
    with provider.gateway.database.read() as session:
        return session.scalars(select(RefreshTokenRow).where(RefreshTokenRow.token_hash == hash_of(token))).one()


def test_a_lost_answer_is_given_again_to_the_very_same_request(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    token = first_tokens(provider, rp)["refresh_token"]
    lost = refresh(rp, token).json()
    provider.advance(seconds=30)
    again = refresh(rp, token)
    assert (again.status_code, again.json()) == (200, lost)
    # Nobody was signed out, and nothing was revoked: both the answer's tokens work, and the family goes on.
    assert rp.userinfo(lost["access_token"]).status_code == 200
    assert refresh(rp, lost["refresh_token"]).status_code == 200
    assert provider.events("oidc.refresh_token.replayed") == []
    assert [event["client"] for event in provider.events("oidc.tokens.repeated")] == [rp.client.client_id]


@pytest.mark.parametrize(
    ("later", "changes"), [(31, {}), (1, {"scope": "openid"})], ids=["after the grace", "with other parameters"]
)
def test_any_other_second_use_revokes_the_family(provider: OidcWorld, later: int, changes: dict[str, str]) -> None:
    rp = provider.relying_party()
    first = first_tokens(provider, rp)
    second = refresh(rp, first["refresh_token"]).json()
    provider.advance(seconds=later)
    replayed = refresh(rp, first["refresh_token"], **changes)
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert refresh(rp, second["refresh_token"]).json()["error"] == "invalid_grant"
    assert rp.userinfo(second["access_token"]).status_code == 401
    assert len(provider.events("oidc.refresh_token.replayed")) >= 1


def test_once_the_next_token_was_used_the_one_before_is_a_thiefs(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    first = first_tokens(provider, rp)
    second = refresh(rp, first["refresh_token"]).json()
    third = refresh(rp, second["refresh_token"]).json()
    # Within the grace, and the very same request: but whoever used the second token had the answer.
    assert refresh(rp, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(rp, third["refresh_token"]).json()["error"] == "invalid_grant"


def test_another_client_gets_no_repeated_answer_and_spoils_nothing(provider: OidcWorld) -> None:
    rp, thief = provider.relying_party(), provider.relying_party()
    first = first_tokens(provider, rp)
    second = refresh(rp, first["refresh_token"]).json()
    assert refresh(thief, first["refresh_token"]).json()["error"] == "invalid_grant"
    assert refresh(rp, second["refresh_token"]).status_code == 200


def test_a_suspended_person_gets_no_repeated_answer(provider: OidcWorld) -> None:
    rp, officer = provider.relying_party(), provider.officer()
    code, verifier = rp.code(provider.signed_in(officer), scope=OFFLINE)
    token = rp.redeem(code, verifier).json()["refresh_token"]
    assert refresh(rp, token).status_code == 200
    with provider.gateway.database.write() as session:
        suspend_account(session, officer.account.account_id, at=provider.clock.now())
    assert refresh(rp, token).json()["error"] == "invalid_grant"


def test_the_kept_answer_is_opened_by_the_token_alone_and_forgotten_after_the_grace(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    token = first_tokens(provider, rp)["refresh_token"]
    answer = refresh(rp, token).json()
    sealed = row_of(provider, token).sealed_answer
    assert sealed is not None
    assert answer["refresh_token"].encode() not in sealed
    with provider.gateway.database.write() as session:
        forget_kept_answers(session, now=provider.clock.now())
    assert row_of(provider, token).sealed_answer is not None
    provider.advance(seconds=31)
    with provider.gateway.database.write() as session:
        assert forget_kept_answers(session, now=provider.clock.now()) >= 1
    # The token stays known, for a second use must still be noticed.
    assert row_of(provider, token).sealed_answer is None
    assert row_of(provider, token).used_at is not None


def test_scope_and_resource_are_narrowed_for_one_access_token_and_not_for_good(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    userinfo = f"{provider.issuer}/userinfo"
    first = first_tokens(provider, rp, resource=[provider.sharing, userinfo])
    narrow = refresh(rp, first["refresh_token"], scope="openid", resource=userinfo).json()
    assert narrow["scope"] == "openid"
    assert unverified_claims(narrow["access_token"])["aud"] == userinfo
    whole = refresh(rp, narrow["refresh_token"]).json()
    assert set(whole["scope"].split()) == set(OFFLINE.split())
    assert unverified_claims(whole["access_token"])["aud"] == [provider.sharing, userinfo]
    refused = refresh(rp, whole["refresh_token"], resource="https://elsewhere.example")
    assert refused.json()["error"] == "invalid_target"
    # Bad input changed nothing.
    assert refresh(rp, whole["refresh_token"]).status_code == 200


def test_a_refresh_without_openid_gives_no_id_token(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    assert "id_token" not in refresh(rp, first_tokens(provider, rp)["refresh_token"], scope="email").json()


def test_a_stronger_sign_in_afterwards_does_not_strengthen_what_was_given_before(provider: OidcWorld) -> None:
    rp, officer = provider.relying_party(), provider.officer()
    weak = provider.signed_in(officer, methods=("pwd",))
    code, verifier = rp.code(weak, scope=OFFLINE)
    first = rp.redeem(code, verifier).json()
    provider.advance(minutes=3)
    provider.signed_in(officer)
    rp.code(provider.signed_in(officer), scope=OFFLINE)
    second = refresh(rp, first["refresh_token"]).json()
    for token in (second["id_token"], second["access_token"]):
        before, after = unverified_claims(first["id_token"]), unverified_claims(token)
        assert (after["acr"], after["auth_time"]) == ("AAL1", before["auth_time"])


@pytest.mark.parametrize("changes", [{"scopes": ("openid", "email")}, {"grant_types": ("authorization_code",)}])
def test_offline_access_is_for_clients_registered_for_it(provider: OidcWorld, changes: dict[str, Any]) -> None:
    rp = provider.relying_party(**changes)
    scope = OFFLINE if "grant_types" in changes else "openid email"
    assert "refresh_token" not in first_tokens(provider, rp, scope=scope)


def test_a_client_that_lost_the_grant_refreshes_no_more(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    token = first_tokens(provider, rp)["refresh_token"]
    provider.change_client(replace(rp.client, grant_types=("authorization_code",)))
    assert refresh(rp, token).json()["error"] == "unauthorized_client"


def test_what_a_client_lost_since_the_sign_in_is_not_refreshed(provider: OidcWorld) -> None:
    """What a registration is reduced to is all there is, for those who signed in before as well."""
    rp, api, other = provider.relying_party(), "https://cases.council.example/v1", provider.sharing
    provider.change_client(replace(rp.client, resources=(api, other)))
    token = first_tokens(provider, rp, resource=[api, other])["refresh_token"]
    provider.change_client(replace(rp.client, resources=(api,), scopes=("openid", "offline_access")))
    assert refresh(rp, token, resource=other).json()["error"] == "invalid_target"
    assert refresh(rp, token, scope="email").json()["error"] == "invalid_scope"
    left = refresh(rp, token).json()
    claims = unverified_claims(left["access_token"])
    assert (claims["aud"], claims["scope"], left["scope"]) == (api, "openid offline_access", "openid offline_access")
    provider.change_client(replace(rp.client, resources=("https://rents.council.example/v1",)))
    assert refresh(rp, left["refresh_token"]).json()["error"] == "invalid_target"


def test_a_client_that_lost_a_kind_of_account_refreshes_for_none_of_it(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    token = first_tokens(provider, rp)["refresh_token"]
    code, verifier = rp.code(provider.signed_in(provider.officer()))
    provider.change_client(replace(rp.client, account_kinds=("citizen",)))
    assert refresh(rp, token).json()["error"] == "invalid_grant"
    assert rp.redeem(code, verifier).json()["error"] == "invalid_grant"


def test_with_dpop_a_lost_answer_is_given_again_for_the_same_key_alone(provider: OidcWorld) -> None:
    rp, key, other = provider.relying_party(), PrivateKeySigner.generate("ES256"), PrivateKeySigner.generate("ES256")
    asked = {"grant_type": "refresh_token", "refresh_token": first_tokens(provider, rp)["refresh_token"]}
    lost = with_proof(rp, key, **asked).json()
    assert lost["token_type"] == "DPoP"
    assert with_proof(rp, key, **asked).json() == lost
    assert with_proof(rp, other, **asked).json()["error"] == "invalid_grant"


def test_under_fapi_the_refresh_token_stays_the_same(provider: OidcWorld) -> None:
    rp, key = provider.relying_party(), PrivateKeySigner.generate("ES256")
    asked = {"grant_type": "refresh_token", "refresh_token": first_tokens(provider, rp)["refresh_token"]}
    fapi2 = OAuthSettings(fapi2=True)
    provider.change_client(replace(rp.client, oauth=fapi2))
    for _ in range(2):
        answer = with_proof(rp, key, **asked)
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json()
        # Omitted means RS256, which no such client may accept.
        assert unverified_header(answer.json()["id_token"])["alg"] == "PS256"
        provider.advance(minutes=2)
    assert provider.events("oidc.refresh_token.replayed") == []
