"""FAPI 2.0 Security Profile §5.3.2.1 and §5.4: whom a client's assertion may name, when it may be from, how signed."""

from typing import Any

import pytest

from gateway.directory.oauth import OAuthSettings
from gateway.wire.signer import PrivateKeySigner
from tests.kit.dpop import DPoPKey
from tests.kit.oidc_world import OidcWorld, RelyingParty


def accepted(rp: RelyingParty, **changes: Any) -> bool:
    """Whether an assertion so changed gets a token, with a good proof beside it."""
    proof = DPoPKey(clock=rp.clock).proof("POST", f"{rp.issuer}/token")
    answer = rp.ask(grant_type="client_credentials", assertion=rp.assertion(**changes), headers={"DPoP": proof})
    assert answer.status_code == 200 or (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    return answer.status_code == 200


@pytest.fixture
def fapi(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(oauth=OAuthSettings(fapi2=True))


@pytest.fixture
def other(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party()


def test_the_issuer_as_a_string_is_the_only_audience(provider: OidcWorld, fapi: RelyingParty) -> None:
    assert accepted(fapi)
    issuer = fapi.issuer
    for audience in (
        [issuer],
        [issuer, f"{issuer}/token"],
        f"{issuer}/token",
        f"{issuer}/",
        issuer.upper(),
        f"{issuer}/par",
        "https://another.example",
        [],
        None,
    ):
        assert not accepted(fapi, aud=audience), audience
    rejected = [event["reason"] for event in provider.events("oidc.client.rejected")]
    assert rejected == ["wrong_audience"] * 9


def test_clients_not_under_fapi_may_name_the_endpoint_and_us_in_a_list(other: RelyingParty) -> None:
    issuer = other.issuer
    for audience in (issuer, [issuer], f"{issuer}/token", [issuer, f"{issuer}/token"]):
        assert accepted(other, aud=audience), audience
    # Another of our endpoints is another recipient; with us beside it, so is a stranger.
    others: tuple[Any, ...] = (f"{issuer}/userinfo", f"{issuer}/par", [issuer, "https://another.example"], [issuer, 7])
    for audience in others:
        assert not accepted(other, aud=audience), audience


@pytest.mark.parametrize("profile", ["fapi", "other"])
def test_a_clock_ten_seconds_ahead_is_accepted_and_over_a_minute_is_not(
    request: pytest.FixtureRequest, profile: str
) -> None:
    rp: RelyingParty = request.getfixturevalue(profile)
    now = int(rp.clock.now().timestamp())
    for ahead in (0, 1, 10):
        assert accepted(rp, iat=now + ahead, exp=now + ahead + 60), ahead
        assert accepted(rp, iat=now + ahead, nbf=now + ahead, exp=now + ahead + 60), ahead
    for ahead in (61, 120, 3600):
        assert not accepted(rp, iat=now + ahead, exp=now + ahead + 60), ahead
        assert not accepted(rp, nbf=now + ahead, exp=now + ahead + 60), ahead
    # Between the two we refuse as well: docs/divergences.md.
    assert not accepted(rp, iat=now + 11, exp=now + 71)


def test_an_assertion_lives_for_minutes_whatever_it_says(fapi: RelyingParty) -> None:
    now = int(fapi.clock.now().timestamp())
    assert accepted(fapi, exp=now + 3600)
    assert not accepted(fapi, exp=now + 3600, iat=None)
    assert not accepted(fapi, exp=now + 3600, iat=now - 311)


@pytest.mark.parametrize(("algorithm", "good"), [("PS256", True), ("ES256", True), ("Ed25519", True), ("RS256", False)])
def test_nothing_weaker_signs_for_a_client_under_fapi(provider: OidcWorld, algorithm: str, good: bool) -> None:  # noqa: FBT001 - a table's column
    signer = PrivateKeySigner.generate(algorithm)
    assert accepted(provider.relying_party(signer=signer, oauth=OAuthSettings(fapi2=True))) is good
