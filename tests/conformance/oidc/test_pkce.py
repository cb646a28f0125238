"""RFC 7636 and RFC 9700 §2.1.1, §4.8: every code is bound to a verifier by S256, and to nothing weaker."""

import secrets

import pytest

from tests.kit.oidc_world import Answer, OidcWorld, RelyingParty, challenge_of


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": "too-short"},
        {"code_challenge": "x" * 44},
        {"code_challenge": "é" * 43},
        {"code_challenge": [challenge_of("a"), challenge_of("b")]},
    ],
    ids=["missing", "no challenge", "no method", "plain", "lower case", "short", "long", "not ascii", "repeated"],
)
def test_a_request_without_an_s256_challenge_is_refused(
    world: OidcWorld, rp: RelyingParty, changes: dict[str, str | list[str] | None]
) -> None:
    answer = Answer(address=world.browser().get(rp.request(**changes)[0]).headers["Location"]).parameters
    assert answer["error"] == "invalid_request"
    assert "code" not in answer


def test_a_code_is_redeemed_by_its_own_verifier_alone(world: OidcWorld, rp: RelyingParty) -> None:
    answer, verifier = rp.sign_in(world.browser(), world.officer())
    for wrong, error in (
        (None, "invalid_request"),
        (secrets.token_urlsafe(48), "invalid_grant"),
        (challenge_of(verifier), "invalid_grant"),
        (verifier + "x", "invalid_grant"),
        ("short", "invalid_request"),
    ):
        refused = rp.redeem(answer["code"], wrong)
        assert (refused.status_code, refused.json()["error"]) == (400, error), wrong
    # None of that changed anything: the rightful verifier still redeems the code.
    assert rp.redeem(answer["code"], verifier).status_code == 200


def test_a_code_from_one_sign_in_is_not_redeemed_in_another(world: OidcWorld, rp: RelyingParty) -> None:
    officer, attacker = world.officer(), world.officer()
    stolen, _ = rp.sign_in(world.browser(), officer)
    _, own_verifier = rp.sign_in(world.browser(), attacker)
    injected = rp.redeem(stolen["code"], own_verifier)
    assert (injected.status_code, injected.json()["error"]) == (400, "invalid_grant")
