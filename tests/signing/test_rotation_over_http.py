"""What relying parties see while the gateway's keys come and go: a token they can verify, always."""

from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.signing.commands import KeysContext, key_commands
from gateway.signing.purposes import KEPT_AFTER, PUBLISHED_AHEAD
from gateway.signing.signing_keys import Purpose
from tests.kit.oidc_world import Answer, OidcWorld, RelyingParty

pytestmark = pytest.mark.own_provider


def run(world: OidcWorld, *arguments: str) -> Result:
    gateway = world.gateway
    context = KeysContext(
        keys_dir=gateway.settings.keys_dir,
        database=gateway.database,
        audit=gateway.audit,
        clock=gateway.clock,
        keeping=gateway.keeping,
    )
    commands = {command.name: command for command in key_commands(lambda: context)}
    result = CliRunner().invoke(commands[arguments[0]], arguments[1:], catch_exceptions=False)
    gateway.signing.look()  # as the server does by itself within two seconds
    return result


def published(world: OidcWorld) -> list[dict[str, Any]]:
    answer = requests.get(f"{world.issuer}/.well-known/jwks.json", timeout=10)
    keys: list[dict[str, Any]] = answer.json()["keys"]
    return keys


def access_token(world: OidcWorld, rp: RelyingParty) -> str:
    code, verifier = rp.code(world.signed_in(world.officer()))
    answer = rp.redeem(code, verifier)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def kid_of(token: str, keys: list[dict[str, Any]]) -> str:
    """The key that signed; the token must verify by these keys, with a library that is not ours."""
    return str(jwt.decode(token, KeySet.import_key_set({"keys": keys}), algorithms=["ES256"]).header["kid"])


def test_a_relying_party_that_fetches_once_an_hour_verifies_every_token(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    before = published(provider)
    first = kid_of(access_token(provider, rp), before)
    assert run(provider, "rotate", "tokens").exit_code == 0
    assert kid_of(access_token(provider, rp), before) == first

    provider.advance(seconds=1)
    fetched = published(provider)  # an hour before the last use of it
    assert {key["kid"] for key in before} < {key["kid"] for key in fetched}
    provider.advance(seconds=PUBLISHED_AHEAD.total_seconds() - 2)
    last = access_token(provider, rp)
    assert kid_of(last, fetched) == first
    provider.advance(seconds=2)
    second = kid_of(access_token(provider, rp), fetched)
    assert second != first
    # What the old key signed a moment ago is as good as before, here and there.
    assert rp.userinfo(last).status_code == 200
    assert kid_of(last, published(provider)) == first

    provider.advance(seconds=KEPT_AFTER.total_seconds())
    assert first not in {key["kid"] for key in published(provider)}
    provider.gateway.key_schedule().run_once()
    provider.gateway.signing.look()
    assert {key["alg"] for key in published(provider)} == {"ES256", "RS256", "PS256"}
    assert kid_of(access_token(provider, rp), published(provider)) == second
    retired = [event["key_id"] for event in provider.events("signing.key.retired")]
    assert first in retired
    assert len(retired) == 3


def test_a_stolen_key_is_worth_nothing_at_once(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    browser = provider.signed_in(provider.officer())
    code, verifier = rp.code(browser)
    token = rp.redeem(code, verifier).json()["access_token"]
    assert rp.userinfo(token).status_code == 200
    number = "0001"
    assert run(provider, "revoke", "tokens", number).exit_code == 0
    refused = rp.userinfo(token)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    with pytest.raises((JoseError, ValueError)):
        kid_of(token, published(provider))
    # Whoever was signed in still is.
    code, verifier = rp.code(browser)
    fresh = rp.redeem(code, verifier).json()["access_token"]
    assert rp.userinfo(fresh).status_code == 200
    assert kid_of(fresh, published(provider)) == provider.gateway.signing.current(Purpose.TOKENS).key_id
    assert [event["key_number"] for event in provider.events("signing.key.revoked")] == [number]


def test_a_hint_outlives_the_key_that_signed_it_but_not_its_theft(provider: OidcWorld) -> None:
    rp, person = provider.relying_party(), provider.officer()
    code, verifier = rp.code(provider.signed_in(person))
    hint = rp.redeem(code, verifier).json()["id_token"]
    run(provider, "rotate", "tokens", "--algorithm", "ES256")
    provider.advance(hours=3)
    assert provider.gateway.key_schedule().run_once() == 1
    provider.gateway.signing.look()

    def answer() -> dict[str, str]:
        address, _ = rp.request(id_token_hint=hint, prompt="none")
        return Answer(address=provider.signed_in(person).get(address).headers["Location"]).parameters

    assert "code" in answer()
    assert run(provider, "revoke", "tokens", "0001").exit_code == 0
    assert answer()["error"] == "invalid_request"
