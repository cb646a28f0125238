"""A request's first line may name a host of its own (RFC 9112 §3.2.2): it is not believed."""

import http.client
import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from gateway.demo.layout import PORTAL_CLIENT
from gateway.wire.contracts import EXCHANGE_TAG
from gateway.wire.message_signatures import HttpRequest, sign_request
from tests.kit.world import World


def send_with_target(world: World, request: HttpRequest, target: str) -> tuple[int, dict[str, str]]:
    """Send the request with exactly this target in its first line."""
    connection = http.client.HTTPConnection(urlsplit(world.issuer).netloc, timeout=30)
    try:
        connection.request(request.method, target, body=request.body, headers=dict(request.headers))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def signed_for(world: World, target: str) -> HttpRequest:
    good = world.signed(world.body(world.asking()))
    unsigned = {name: value for name, value in good.headers.items() if not name.lower().startswith("signature")}
    return sign_request(
        replace(good, target_uri=target, headers=unsigned),
        signer=world.signer(PORTAL_CLIENT),
        client_id=PORTAL_CLIENT,
        nonce="a-nonce-for-elsewhere",
        created=world.gateway.clock.now(),
        tag=EXCHANGE_TAG,
    )


@pytest.mark.parametrize("elsewhere", ["http://elsewhere.example", "https://elsewhere.example:8443"])
def test_what_was_signed_for_another_gateway_is_no_request_to_this_one(world: World, elsewhere: str) -> None:
    target = f"{elsewhere}/sharing/v1/exchanges"
    status, problem = send_with_target(world, signed_for(world, target), target)
    assert (status, problem["code"]) == (401, "invalid_request_signature")


def test_our_own_address_may_be_named_in_full(world: World) -> None:
    status, answer = send_with_target(world, world.signed(world.body(world.asking())), world.exchanges)
    assert status == 200
    assert answer["record"]
