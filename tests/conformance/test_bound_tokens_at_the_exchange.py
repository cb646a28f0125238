"""RFC 9449 §7 where records are asked for: a bound token needs its proof, once, and the signature covers the proof."""

import pytest

from gateway.clock import SystemClock
from gateway.directory.oauth import OAuthSettings
from gateway.wire.message_signatures import HttpRequest
from tests.conformance.expectations import problem_of, watching
from tests.conformance.others import Other, another_client, officer_token_of
from tests.kit.dpop import DPoPKey
from tests.kit.world import Asking, World


@pytest.fixture(scope="module")
def other(world: World) -> Other:
    return another_client(world, oauth=OAuthSettings(dpop_bound_access_tokens=True))


@pytest.fixture(scope="module")
def key() -> DPoPKey:
    return DPoPKey(clock=SystemClock())


@pytest.fixture(scope="module")
def token(world: World, other: Other, key: DPoPKey) -> str:
    """An officer's token at this system, bound to the key."""
    address = f"{world.issuer}/token"
    return officer_token_of(world, other, headers={"DPoP": key.proof("POST", address)})


@pytest.fixture(scope="module")
def asking(world: World, other: Other) -> Asking:
    return world.asking(conditions__clients=[other.client_id])


def signed(world: World, other: Other, asking: Asking, headers: dict[str, str]) -> HttpRequest:
    return world.signed(world.body(asking), signer=other.signer, client_id=other.client_id, headers=headers)


def test_a_record_is_asked_for_with_a_bound_token(
    world: World, other: Other, asking: Asking, key: DPoPKey, token: str
) -> None:
    request = signed(world, other, asking, key.showing(token, "POST", world.exchanges))
    assert '"dpop"' in request.headers["Signature-Input"]
    answer = world.send(request)
    assert answer.status == 200, answer.body


def test_a_bound_token_opens_nothing_without_its_proof_or_with_a_used_one(
    world: World, other: Other, asking: Asking, key: DPoPKey, token: str
) -> None:
    used = key.showing(token, "POST", world.exchanges)
    assert world.send(signed(world, other, asking, used)).status == 200
    stolen = DPoPKey(clock=key.clock)
    for headers, code in (
        ({"Authorization": f"Bearer {token}"}, "invalid_token"),
        ({"Authorization": f"DPoP {token}"}, "invalid_dpop_proof"),
        (used, "invalid_dpop_proof"),
        (stolen.showing(token, "POST", world.exchanges), "invalid_dpop_proof"),
        (key.showing(token, "POST", f"{world.issuer}/userinfo"), "invalid_dpop_proof"),
        (key.showing(token, "GET", world.exchanges), "invalid_dpop_proof"),
    ):
        request = signed(world, other, asking, headers)
        with watching(world) as watched:
            answer = world.send(request)
        assert (answer.status, problem_of(world, request, answer, binding="target")["code"]) == (401, code)
        assert watched.events == []
        assert answer.headers["WWW-Authenticate"].startswith(headers["Authorization"].partition(" ")[0])


def test_the_signature_covers_the_proof(world: World, other: Other, asking: Asking, key: DPoPKey, token: str) -> None:
    # Another proof for the same request, by the same key, put in place of the one that was signed.
    first = signed(world, other, asking, key.showing(token, "POST", world.exchanges))
    swapped = first.with_headers({"DPoP": key.proof("POST", world.exchanges, token=token)})
    answer = world.send(swapped)
    assert problem_of(world, swapped, answer, binding="target")["code"] == "invalid_request_signature"
    # And one that was added to a request signed without any.
    bare = signed(world, other, asking, {"Authorization": f"DPoP {token}"})
    added = bare.with_headers({"DPoP": key.proof("POST", world.exchanges, token=token)})
    answer = world.send(added)
    assert problem_of(world, added, answer, binding="target")["code"] == "invalid_request_signature"
