"""A sandbox tells developers what to change; production tells nobody, in the same words for everything."""

from typing import Any

import pytest

from gateway.settings import load_settings
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import ASSERTION_TYPE, OidcWorld, RelyingParty

SILENT = "The client could not be authenticated"


def page(world: OidcWorld, rp: RelyingParty, **changes: Any) -> str:
    answer = world.browser().get(rp.request(**changes)[0])
    assert answer.status_code == 400
    return answer.text


REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"redirect_uri": "http://localhost:9/other"}, "You sent redirect_uri http://localhost:9/other"),
    ({"redirect_uri": "http://localhost:9/callback/"}, "Registered for this client: http://localhost:9/callback."),
    ({"redirect_uri": None}, "Registered: http://localhost:9/callback"),
    ({"client_id": "nobody"}, "No client is registered here as nobody"),
    ({"client_id": None}, "Send client_id once"),
]


@pytest.mark.parametrize(("changes", "told"), REQUESTS)
def test_a_request_that_cannot_be_used_is_explained(sandbox: OidcWorld, changes: dict[str, Any], told: str) -> None:
    text = page(sandbox, sandbox.relying_party(), **changes)
    assert told in text
    assert "of docs/relying-parties.md in the gateway" in text


@pytest.mark.parametrize(("changes", "told"), REQUESTS)
def test_production_explains_no_request(provider: OidcWorld, changes: dict[str, Any], told: str) -> None:
    text = page(provider, provider.relying_party(), **changes)
    assert told not in text
    assert "docs/relying-parties.md" not in text


def test_what_is_sent_is_shown_and_not_run(sandbox: OidcWorld) -> None:
    text = page(sandbox, sandbox.relying_party(), redirect_uri="https://a.example/<script>alert(1)</script>")
    assert "<script>alert" not in text


ASSERTIONS: list[tuple[dict[str, Any], str]] = [
    ({"aud": "https://elsewhere.example"}, "The claim aud is https://elsewhere.example, and has to be "),
    ({"iss": "somebody"}, "iss and sub both have to be "),
    ({"iat": 60}, "iat +60 s"),
    ({"exp": -20}, "exp -20 s"),
    ({"iat": None, "exp": 3600}, "taken until 300 s after iat"),
    ({"jti": None}, "The claim jti is missing"),
]


def refusal(rp: RelyingParty, changes: dict[str, Any], **options: Any) -> dict[str, str]:
    now = int(rp.clock.now().timestamp())
    shifted: dict[str, Any] = {
        name: now + value if isinstance(value, int) else value for name, value in changes.items()
    }
    answer = rp.ask(grant_type="client_credentials", assertion=rp.assertion(**shifted, **options))
    assert answer.status_code == 401
    told: dict[str, str] = answer.json()
    assert told["error"] == "invalid_client"
    return told


@pytest.mark.parametrize(("changes", "told"), ASSERTIONS)
def test_an_assertion_that_fails_is_explained_with_the_clocks_difference(
    sandbox: OidcWorld, changes: dict[str, Any], told: str
) -> None:
    described = refusal(sandbox.relying_party(), changes)["error_description"]
    assert told in described
    assert described.endswith(
        "See the section client-authentication of docs/relying-parties.md in the gateway's project"
    )
    assert described.isascii()
    assert '"' not in described


@pytest.mark.parametrize(("changes", "told"), ASSERTIONS)
def test_production_says_the_same_of_every_assertion(provider: OidcWorld, changes: dict[str, Any], told: str) -> None:
    assert refusal(provider.relying_party(), changes)["error_description"] == SILENT


def test_other_proofs_are_explained_too(sandbox: OidcWorld) -> None:
    rp, stranger = sandbox.relying_party(), PrivateKeySigner.generate("ES256")
    assert f"registered keys: {rp.signer.key_id}" in refusal(rp, {}, signer=stranger)["error_description"]
    same_name = PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id)
    assert "does not verify" in refusal(rp, {}, signer=same_name)["error_description"]
    assert "typ is at+jwt" in refusal(rp, {}, typ="at+jwt")["error_description"]
    assertion = rp.assertion()
    rp.ask(grant_type="client_credentials", assertion=assertion)
    replayed = rp.ask(grant_type="client_credentials", assertion=assertion).json()
    assert "was used before" in replayed["error_description"]
    secret = [("grant_type", "client_credentials"), ("client_id", rp.client.client_id), ("client_secret", "guess")]
    assert "private_key_jwt, and used another" in rp.post_token(secret).json()["error_description"]
    nothing = [("grant_type", "client_credentials"), ("client_id", rp.client.client_id)]
    assert "the request brought no proof" in rp.post_token(nothing).json()["error_description"]
    unsent = [("grant_type", "client_credentials"), ("client_assertion_type", ASSERTION_TYPE)]
    assert "Send client_assertion" in rp.post_token(unsent).json()["error_description"]


def test_a_secret_that_was_sent_is_not_repeated(sandbox: OidcWorld) -> None:
    rp = sandbox.relying_party()
    secret = [("grant_type", "x"), ("client_id", rp.client.client_id), ("client_secret", "unmistakable")]
    assert "unmistakable" not in rp.post_token(secret).text


def test_a_sandbox_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ISSUER", "https://gateway.example")
    assert load_settings().sandbox is False
    monkeypatch.setenv("GATEWAY_SANDBOX", "true")
    assert load_settings().sandbox is True
