"""Somebody on the way changes a request that a member signed, or strips what protects it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.clock import SystemClock
from gateway.demo.layout import PORTAL_CLIENT
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import HttpRequest, _signed, content_digest
from gateway.wire.signature_base import serialize_parameters, signature_base
from tests.conformance.expectations import assert_turned_away
from tests.kit.world import World

Attack = Callable[[World, HttpRequest], HttpRequest]


def body_changed(_world: World, request: HttpRequest) -> HttpRequest:
    return replace(request, body=request.body.replace(b'"tier"', b'"award_amount"'))


def body_and_digest_changed(world: World, request: HttpRequest) -> HttpRequest:
    changed = body_changed(world, request)
    return changed.with_headers({"Content-Digest": content_digest(changed.body)})


def digest_changed(_world: World, request: HttpRequest) -> HttpRequest:
    return request.with_headers({"Content-Digest": content_digest(b"{}")})


def digest_of_no_use(_world: World, request: HttpRequest) -> HttpRequest:
    return request.with_headers({"Content-Digest": "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"})


def another_digest_added(_world: World, request: HttpRequest) -> HttpRequest:
    both = f"{request.headers['Content-Digest']}, {content_digest(b'{}').replace('sha-256', 'sha-512')}"
    return request.with_headers({"Content-Digest": both})


def query_added(_world: World, request: HttpRequest) -> HttpRequest:
    return replace(request, target_uri=f"{request.target_uri}?for=somebody-else")


def path_encoded(_world: World, request: HttpRequest) -> HttpRequest:
    return replace(request, target_uri=request.target_uri.replace("/exchanges", "/%65xchanges"))


def key_of_another_retry(_world: World, request: HttpRequest) -> HttpRequest:
    return request.with_headers({"Idempotency-Key": "0191d5a2-1111-4111-8111-111111111111"})


def token_of_another_officer(world: World, request: HttpRequest) -> HttpRequest:
    return request.with_headers({"Authorization": f"Bearer {world.officer_token(('another-role',))}"})


def signature_made_up(_world: World, request: HttpRequest) -> HttpRequest:
    return request.with_headers({"Signature": f"gw=:{'A' * 86}==:"})


def signature_under_another_label(_world: World, request: HttpRequest) -> HttpRequest:
    renamed = {name: request.headers[name].replace("gw=", "sig1=", 1) for name in ("Signature", "Signature-Input")}
    return request.with_headers(renamed)


def signature_removed(_world: World, request: HttpRequest) -> HttpRequest:
    kept = {name: value for name, value in request.headers.items() if not name.lower().startswith("signature")}
    return replace(request, headers=kept)


def signature_given_twice(_world: World, request: HttpRequest) -> HttpRequest:
    twice = {name: f"{request.headers[name]}, {request.headers[name]}" for name in ("Signature", "Signature-Input")}
    return request.with_headers(twice)


@pytest.mark.parametrize(
    ("attack", "cause"),
    [
        (body_changed, "digest_mismatch"),
        (body_and_digest_changed, "invalid_message_signature"),
        (digest_changed, "digest_mismatch"),
        (digest_of_no_use, "digest_mismatch"),
        (another_digest_added, "digest_mismatch"),
        (query_added, "invalid_message_signature"),
        (path_encoded, "invalid_message_signature"),
        (key_of_another_retry, "invalid_message_signature"),
        (token_of_another_officer, "invalid_message_signature"),
        (signature_made_up, "invalid_message_signature"),
        (signature_under_another_label, "invalid_message_signature"),
        (signature_removed, "invalid_message_signature"),
        (signature_given_twice, "invalid_message_signature"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_was_changed_on_the_way_is_turned_away(world: World, attack: Attack, cause: str) -> None:
    good = world.signed(world.body(world.asking()))
    changed = attack(world, good)
    assert_turned_away(
        world,
        changed,
        status=401,
        code="invalid_request_signature",
        cause=cause,
        binding="target",
        as_it_stands=True,
    )
    # The very request that was attacked is good when it arrives as it was signed.
    assert world.send(good).status == 200


@pytest.mark.parametrize("left_out", ["@method", "@target-uri", "content-digest", "authorization", "idempotency-key"])
def test_a_signature_that_leaves_something_out_proves_too_little(world: World, left_out: str) -> None:
    good = world.signed(world.body(world.asking()))
    covered = [
        name
        for name in ("@method", "@target-uri", "content-digest", "authorization", "idempotency-key")
        if name != left_out
    ]
    signer = world.signer(PORTAL_CLIENT)
    parameters = {
        "created": int(SystemClock().now().timestamp()),
        "nonce": "a-nonce-of-its-own",
        "keyid": f"{PORTAL_CLIENT}#{signer.key_id}",
        "tag": EXCHANGE_TAG,
    }
    serialized = serialize_parameters(covered, parameters)
    stripped = good.with_headers(_signed(signature_base(covered, serialized, good), serialized, signer))
    problem = assert_turned_away(
        world,
        stripped,
        status=401,
        code="invalid_request_signature",
        cause="invalid_message_signature",
        binding="target",
    )
    assert left_out in problem["detail"]


def test_the_log_still_verifies(world: World) -> None:
    world.assert_log_verifies()
