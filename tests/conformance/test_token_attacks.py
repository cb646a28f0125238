"""Whoever has no valid token is nobody: the answer is signed, nothing is read, and the log only counts."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.audit.models import NoiseRow
from gateway.clock import SystemClock
from gateway.demo.layout import PORTAL_CLIENT
from gateway.signing.signing_keys import Purpose
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jwt, unverified_claims
from gateway.wire.signer import PrivateKeySigner
from tests.conformance.expectations import problem_of, watching
from tests.conformance.others import another_client, officer_token_of
from tests.kit.world import ADA_MATCH, World


def resigned(world: World, *, typ: str = "at+jwt", signer: PrivateKeySigner | None = None, **changes: Any) -> str:
    """A good token with other claims, signed anew."""
    claims = {**unverified_claims(world.officer_token()), **changes}
    return issue_jwt(claims, typ=typ, signer=signer or world.gateway.signing.current(Purpose.TOKENS))


def without_a_signature(world: World) -> str:
    header = b64url_encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode())
    return f"{header}.{world.officer_token().split('.')[1]}."


def with_the_public_key_as_a_secret(world: World) -> str:
    public = world.gateway.signing.public_jwks(Purpose.TOKENS)[0]
    header = b64url_encode(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": public["kid"]}).encode())
    signed = f"{header}.{world.officer_token().split('.')[1]}"
    mac = hmac.digest(json.dumps(public).encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{b64url_encode(mac)}"


def of_another_audience(world: World) -> str:
    verifier = secrets.token_urlsafe(48)
    answer = world.redeem(world.code(world.officer(), verifier=verifier, resource=""), verifier=verifier, resource="")
    token: str = answer.json()["access_token"]
    return token


def an_identity_token(world: World) -> str:
    token: str = world.tokens(world.officer())["id_token"]
    return token


def of_a_client_that_lost_the_resource(world: World) -> str:
    other = another_client(world)
    token = officer_token_of(world, other)
    another_client(world, client_id=other.client_id, keys=other.client.keys, resources=())
    return token


def of_a_client_that_was_suspended(world: World) -> str:
    other = another_client(world)
    token = officer_token_of(world, other)
    another_client(world, client_id=other.client_id, keys=other.client.keys, active=False)
    return token


ATTACKS: tuple[Callable[[World], str], ...] = (
    lambda _world: "",
    lambda _world: "Bearer",
    lambda _world: "Bearer not-a-token",
    lambda _world: f"Basic {base64.b64encode(f'{PORTAL_CLIENT}:guess'.encode()).decode()}",
    lambda world: f"DPoP {world.officer_token()}",
    lambda world: f"Bearer {without_a_signature(world)}",
    lambda world: f"Bearer {with_the_public_key_as_a_secret(world)}",
    lambda world: f"Bearer {resigned(world, exp=int(SystemClock().now().timestamp()) - 120)}",
    lambda world: f"Bearer {resigned(world, jti='a-token-we-never-issued')}",
    lambda world: f"Bearer {resigned(world, iss='https://another.example')}",
    lambda world: f"Bearer {resigned(world, typ='JWT')}",
    lambda world: f"Bearer {resigned(world, signer=PrivateKeySigner.generate('ES256'))}",
    lambda world: f"Bearer {resigned(world, signer=world.signer(PORTAL_CLIENT))}",
    lambda world: f"Bearer {of_another_audience(world)}",
    lambda world: f"Bearer {an_identity_token(world)}",
    lambda world: f"Bearer {of_a_client_that_lost_the_resource(world)}",
    lambda world: f"Bearer {of_a_client_that_was_suspended(world)}",
)
NAMES = (
    "none",
    "no token in it",
    "garbage",
    "another scheme",
    "DPoP without a proof",
    "alg none",
    "HS256 with the public key",
    "expired",
    "never issued",
    "another issuer",
    "another type",
    "another key",
    "the client's own key",
    "another audience",
    "an ID token",
    "a client without the resource",
    "a suspended client",
)


# Good tokens, shown where they open nothing: somebody has stolen them, or tries out what they are worth.
MISUSED = {"DPoP without a proof", "another audience", "a client without the resource", "a suspended client"}


@pytest.mark.parametrize(("name", "authorization"), list(zip(NAMES, ATTACKS, strict=True)), ids=NAMES)
def test_without_a_valid_token_nobody_is_answered(
    world: World, name: str, authorization: Callable[[World], str]
) -> None:
    asking, header = world.asking(), authorization(world)
    request = world.signed(world.body(asking), headers={"Authorization": header})
    before, misused = noise_of(world), misused_tokens(world)
    with watching(world) as watched:
        response = world.send(request)
    problem = problem_of(world, request, response, binding="target")
    assert (response.status, problem["code"]) == (401, "invalid_token")
    # RFC 9449 §7.1: the scheme that was tried is the one the challenge is for.
    assert response.headers["WWW-Authenticate"].startswith("DPoP " if header.startswith("DPoP") else "Bearer ")
    # Counted as noise, and nothing else: what nobody sent cannot become a permanent log. Of a good token one entry
    # says which it was, and names no member in public, for nobody proved to be its client.
    assert watched.events == []
    assert misused_tokens(world) == misused + [()] * (name in MISUSED)
    assert watched.changed == set()
    assert noise_of(world) == before + 1


def test_a_flood_is_one_entry_a_minute_and_names_nobody(world: World) -> None:
    token = f"Bearer {resigned(world, exp=1)}"
    request = world.signed(world.body(world.asking()), headers={"Authorization": token})
    for _ in range(20):
        assert world.send(request).status == 401
    with world.gateway.database.read() as session:
        kinds = session.scalar(select(func.count()).select_from(NoiseRow).where(NoiseRow.code == "invalid_token")) or 0
    before = {event.event_id for event in world.events(names=["audit.noise.counted"])}
    with world.gateway.database.write() as session:
        world.gateway.audit.flush_noise(session, now=SystemClock().now() + timedelta(minutes=2))
    entries = [event for event in world.events(names=["audit.noise.counted"]) if event.event_id not in before]
    mine = [world.details(event) for event in entries if world.details(event)["code"] == "invalid_token"]
    assert len(mine) == kinds <= 2  # one a minute, and these requests may lie on both sides of a full minute
    assert sum(details["count"] for details in mine) >= 20
    for event, details in ((event, world.details(event)) for event in entries):
        assert event.members == ()
        assert set(details) == {"minute", "code", "source", "count"}
        assert "127.0.0.1" not in json.dumps(details)
        assert ADA_MATCH["nino"] not in json.dumps(details)
    world.assert_log_verifies()


def test_a_token_is_asked_for_before_anything_else(world: World) -> None:
    """Without one, even an unreadable body is not read and no service is told of."""
    request = world.signed(b"{", headers={"Authorization": ""})
    response = world.send(request)
    assert problem_of(world, request, response, binding="target")["code"] == "invalid_token"


def test_a_key_that_was_withdrawn_signs_no_more(world: World) -> None:
    other = another_client(world)
    token = officer_token_of(world, other)
    request = world.signed(world.body(world.asking()), token=token, signer=other.signer, client_id=other.client_id)
    replaced = PrivateKeySigner.generate("ES256").public_jwk()
    another_client(world, client_id=other.client_id, keys=(replaced,))
    response = world.send(request)
    assert problem_of(world, request, response, binding="target")["code"] == "invalid_request_signature"


def misused_tokens(world: World) -> list[tuple[str, ...]]:
    """Of each good token that was refused, the members that the log names in public."""
    return [event.members for event in world.events(names=["oidc.access_token.refused"])]


def noise_of(world: World) -> int:
    """How many requests without a token that is valid here were counted and are not in the log yet."""
    codes = ("invalid_token", "oidc.token_misused")
    with world.gateway.database.read() as session:
        return session.scalar(select(func.sum(NoiseRow.count)).where(NoiseRow.code.in_(codes))) or 0
