"""RFC 6749 §4.1.2 and RFC 9700 §4.5: a code works once; a second use takes back what the first gave."""

from concurrent.futures import ThreadPoolExecutor

from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.tokens import refresh


def test_a_replayed_code_is_refused_and_revokes_the_tokens_of_its_first_use(world: OidcWorld, rp: RelyingParty) -> None:
    answer, verifier = rp.sign_in(world.browser(), world.officer(), scope="openid offline_access")
    tokens = rp.redeem(answer["code"], verifier).json()
    assert rp.userinfo(tokens["access_token"]).status_code == 200
    replayed = rp.redeem(answer["code"], verifier)
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert "access_token" not in replayed.text
    refused = rp.userinfo(tokens["access_token"])
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    refreshed = rp.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed.json()["error"] == "invalid_grant"
    recorded = [event for event in world.events("oidc.code.replayed") if event["client"] == rp.client.client_id]
    assert len(recorded) == 1


def test_another_client_cannot_use_a_code_nor_spoil_it(world: OidcWorld, rp: RelyingParty) -> None:
    thief = world.relying_party()
    answer, verifier = rp.sign_in(world.browser(), world.officer())
    assert thief.redeem(answer["code"], verifier).json()["error"] == "invalid_grant"
    tokens = rp.redeem(answer["code"], verifier).json()
    assert thief.redeem(answer["code"], verifier).json()["error"] == "invalid_grant"
    assert rp.userinfo(tokens["access_token"]).status_code == 200


def test_twenty_redemptions_at_once_give_one_token_response(world: OidcWorld, rp: RelyingParty) -> None:
    answer, verifier = rp.sign_in(world.browser(), world.officer())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: rp.redeem(answer["code"], verifier), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert all(answer.json().get("error") in {None, "invalid_grant"} for answer in answers)
    issued = [event for event in world.events("oidc.tokens.issued") if event["client"] == rp.client.client_id]
    assert len(issued) == 1


def test_twenty_refreshes_at_once_give_one_answer_and_the_family_one_newest_token(
    world: OidcWorld, rp: RelyingParty
) -> None:
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid offline_access")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: refresh(rp, tokens["refresh_token"]), range(20)))
    # Whoever was not the first gets what the first one got: on two workers, and each with an assertion of its own.
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    refreshed = [event for event in world.events("oidc.tokens.refreshed") if event["client"] == rp.client.client_id]
    assert len(refreshed) == 1
    newest = answers[0].json()
    assert rp.userinfo(newest["access_token"]).status_code == 200
    assert refresh(rp, newest["refresh_token"]).status_code == 200


def test_a_replayed_refresh_token_ends_the_family_of_thief_and_owner_alike(world: OidcWorld, rp: RelyingParty) -> None:
    """RFC 9700 §4.14.2: nobody can tell which of the two is the thief."""
    tokens = rp.tokens(world.browser(), world.officer(), scope="openid email offline_access")
    newest = refresh(rp, tokens["refresh_token"]).json()
    replayed = refresh(rp, tokens["refresh_token"], scope="openid")
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")
    assert rp.userinfo(newest["access_token"]).status_code == 401
    assert refresh(rp, newest["refresh_token"]).json()["error"] == "invalid_grant"
    assert any(event["client"] == rp.client.client_id for event in world.events("oidc.refresh_token.replayed"))
