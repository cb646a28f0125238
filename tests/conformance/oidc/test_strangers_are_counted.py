"""Whoever was not authenticated is counted, or of known clients told only so often: a flood makes no entries."""

from dataclasses import replace
from typing import Any

import pytest
import requests

from gateway.audit.noise import ENTRIES_A_MINUTE
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.oidc.scenes import Act, Scene, a_scene, counted, refusals
from tests.kit.oidc_world import OidcWorld
from tests.kit.pushing import by_value
from tests.kit.tokens import post

pytestmark = pytest.mark.any_database


@pytest.fixture
def scene(provider: OidcWorld) -> Scene:
    return a_scene(provider)


def visit(method: str, path: str, **options: Any) -> Act:
    return lambda scene: requests.request(method, scene.rp.issuer + path, timeout=10, allow_redirects=False, **options)


def as_a_stranger(path: str) -> Act:
    def act(scene: Scene) -> requests.Response:
        stranger = replace(scene.rp, client=replace(scene.rp.client, client_id="client-nobody"))
        return post(stranger, path, token="x", grant_type="client_credentials")

    return act


NOISE: dict[str, Act] = {
    "/authorize by nobody": visit("GET", "/authorize?client_id=nobody"),
    "/authorize for elsewhere": lambda scene: requests.get(
        scene.rp.request(redirect_uri="https://attacker.example/")[0], allow_redirects=False, timeout=10
    ),
    "/authorize with an error": lambda scene: requests.get(
        scene.rp.request(scope='"')[0], allow_redirects=False, timeout=10
    ),
    "/authorize with a bad object": lambda scene: requests.get(
        by_value(scene.rp, "x.y.z", redirect_uri=scene.rp.client.redirect_uris[0]), allow_redirects=False, timeout=10
    ),
    "/authorize with a bad hint": lambda scene: requests.get(
        scene.rp.request(id_token_hint="x.y.z")[0], allow_redirects=False, timeout=10
    ),
    "/authorize with a guessed reference": visit(
        "GET", f"/authorize?client_id=x&request_uri=urn:ietf:params:oauth:request_uri:{'A' * 43}"
    ),
    "/authorize/continue with a guess": visit("GET", "/authorize/continue?ticket=x"),
    **{f"{path} by nobody": as_a_stranger(path) for path in ("/token", "/par", "/introspect", "/revoke")},
    "/token without any client": visit("POST", "/token", data={"grant_type": "client_credentials"}),
    "/userinfo without a token": visit("GET", "/userinfo"),
    "/userinfo with a guess": visit("GET", "/userinfo", headers={"Authorization": "Bearer a.b.c"}),
    "/userinfo with a proof": visit("GET", "/userinfo", headers={"Authorization": "DPoP a.b.c", "DPoP": "x"}),
    "/sharing without a token": visit("POST", "/sharing/v1/exchanges"),
    "/register without a token": visit("POST", "/register", json={}),
    "/register with a guess": visit("POST", "/register", json={}, headers={"Authorization": "Bearer x"}),
    "/register/… with a guess": visit("GET", "/register/x", headers={"Authorization": "Bearer x"}),
    "/logout by nobody": visit("GET", "/logout?client_id=nobody"),
    "/logout with a bad hint": visit("GET", "/logout?id_token_hint=x"),
    "/logout/confirm without its token": visit("POST", "/logout/confirm"),
}


@pytest.mark.parametrize("noise", NOISE)
def test_what_nobody_we_know_sends_is_counted_and_makes_no_entry(scene: Scene, noise: str) -> None:
    before = counted(scene.provider)
    for _ in range(3):
        assert NOISE[noise](scene).status_code in {303, 400, 401}
    assert refusals(scene.provider) == []
    assert counted(scene.provider) == before + 3


@pytest.mark.parametrize("way", ["assertion", "token"])
def test_what_is_told_of_unproved_clients_has_a_ceiling(
    scene: Scene, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries about whoever names a client, or shows its token, without proving to be it: so many a minute.

    From there on none of them has a turn to write of its own, for which those who may write would have to wait.
    """
    provider, audit = scene.provider, scene.provider.gateway.audit
    forged = PrivateKeySigner.generate("ES256", key_id=scene.rp.signer.key_id)
    code = {"assertion": "oidc.client_unproved", "token": "oidc.token_misused"}[way]
    token = scene.tokens(resource=provider.sharing)["access_token"]

    def attempt() -> int:
        if way == "token":
            return scene.rp.userinfo(token).status_code
        return scene.rp.ask(grant_type="client_credentials", assertion=scene.rp.assertion(signer=forged)).status_code

    assert attempt() == 401
    assert len(refusals(provider)) == 1
    with provider.gateway.database.write() as session:
        for _ in range(ENTRIES_A_MINUTE):
            audit.count_noise(session, source="192.0.2.1", code=code, at=provider.clock.now())
    assert attempt() == 401
    assert len(refusals(provider)) == 1
    before, database = counted(provider), provider.gateway.database
    with monkeypatch.context() as patch:
        patch.setattr(database, "write", lambda: pytest.fail("a turn to write for a stranger"))
        assert [attempt() for _ in range(3)] == [401, 401, 401]
    assert counted(provider) == before + 3
    provider.advance(minutes=1)
    assert attempt() == 401
    assert len(refusals(provider)) == 2
