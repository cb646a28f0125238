"""RFC 9449 §8 and §9, where the setting asks for nonces: a proof made ahead of time, elsewhere, is worth nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from tests.kit.client_certificates import self_signed
from tests.kit.clock import FrozenClock
from tests.kit.dpop import DPoPKey
from tests.kit.mutual_tls import behind_a_proxy
from tests.kit.oidc_world import OidcWorld, RelyingParty


@pytest.fixture(scope="module")
def asking_for_nonces(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OidcWorld]:
    folder, clock = tmp_path_factory.mktemp("nonces"), FrozenClock()
    authority = self_signed("Test authority of clients", folder=folder, now=clock.now(), authority=True)
    with (
        _databases() as url,
        behind_a_proxy(database_url=url, folder=folder, clock=clock, authority=authority, dpop_nonce=True) as made,
    ):
        yield made.world


@pytest.fixture
def rp(asking_for_nonces: OidcWorld) -> RelyingParty:
    return asking_for_nonces.relying_party(oauth=OAuthSettings(dpop_bound_access_tokens=True))


@pytest.fixture
def key(asking_for_nonces: OidcWorld) -> DPoPKey:
    return DPoPKey(clock=asking_for_nonces.clock)


def ask(rp: RelyingParty, key: DPoPKey, nonce: str | None) -> requests.Response:
    proof = key.proof("POST", f"{rp.issuer}/token", nonce=nonce)
    return rp.ask(grant_type="client_credentials", headers={"DPoP": proof})


def test_a_client_is_given_the_nonce_it_needs(asking_for_nonces: OidcWorld, rp: RelyingParty, key: DPoPKey) -> None:
    before = len(asking_for_nonces.events("oidc.tokens.refused"))
    first = ask(rp, key, None)
    assert (first.status_code, first.json()["error"]) == (400, "use_dpop_nonce")
    # It is how every client begins, and no refusal to be recorded.
    assert len(asking_for_nonces.events("oidc.tokens.refused")) == before
    second = ask(rp, key, first.headers["DPoP-Nonce"])
    assert (second.status_code, second.json()["token_type"]) == (200, "DPoP")
    assert second.headers["DPoP-Nonce"]


def test_a_resource_gives_it_too(asking_for_nonces: OidcWorld, rp: RelyingParty, key: DPoPKey) -> None:
    nonce = ask(rp, key, None).headers["DPoP-Nonce"]
    code, verifier = rp.code(asking_for_nonces.signed_in(asking_for_nonces.officer()))
    proof = key.proof("POST", f"{rp.issuer}/token", nonce=nonce)
    token, address = rp.redeem(code, verifier, headers={"DPoP": proof}).json()["access_token"], f"{rp.issuer}/userinfo"
    first = rp.userinfo(token, headers=key.showing(token, "GET", address))
    assert first.status_code == 401
    assert 'error="use_dpop_nonce"' in first.headers["WWW-Authenticate"]
    shown = key.showing(token, "GET", address, nonce=first.headers["DPoP-Nonce"])
    assert rp.userinfo(token, headers=shown).status_code == 200


def test_a_nonce_that_is_old_or_not_ours_is_as_good_as_none(
    asking_for_nonces: OidcWorld, rp: RelyingParty, key: DPoPKey
) -> None:
    nonce = ask(rp, key, None).headers["DPoP-Nonce"]
    asking_for_nonces.advance(minutes=5)
    assert ask(rp, key, nonce).status_code == 200, "the one before is accepted while the next is given out"
    asking_for_nonces.advance(minutes=5)
    for wrong in (nonce, nonce[:-1], "x" * 32, "", "é"):
        answer = ask(rp, key, wrong)
        assert (answer.status_code, answer.json()["error"]) == (400, "use_dpop_nonce"), wrong
    assert ask(rp, key, ask(rp, key, None).headers["DPoP-Nonce"]).status_code == 200


def test_a_proof_with_a_nonce_is_still_used_up(rp: RelyingParty, key: DPoPKey) -> None:
    nonce = ask(rp, key, None).headers["DPoP-Nonce"]
    proof = key.proof("POST", f"{rp.issuer}/token", nonce=nonce)
    answers = [rp.ask(grant_type="client_credentials", headers={"DPoP": proof}).status_code for _ in range(2)]
    assert answers == [200, 400]


def test_without_the_setting_no_nonce_is_asked_for_or_given(provider: OidcWorld) -> None:
    answer = ask(provider.relying_party(), DPoPKey(clock=provider.clock), None)
    assert answer.status_code == 200
    assert "DPoP-Nonce" not in answer.headers
