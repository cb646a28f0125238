"""A request signed by somebody else, by another system than the token's, or by what is no signature."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from gateway.clock import SystemClock
from gateway.demo.layout import DWP, PORTAL_CLIENT, PROVIDER_CLIENT
from gateway.directory.members import ClientKind
from gateway.wire.contracts import EXCHANGE_TAG, PROVIDER_TAG
from gateway.wire.encoding import b64_encode
from gateway.wire.message_signatures import HttpRequest, content_digest, sign_request
from gateway.wire.signature_base import serialize_parameters, signature_base
from gateway.wire.signer import PrivateKeySigner, Signer
from tests.conformance.expectations import assert_refused, assert_turned_away
from tests.conformance.others import another_client, officer_token_of, token_of_its_own
from tests.kit.world import World

COVERED = ("@method", "@target-uri", "content-digest", "authorization", "idempotency-key")


class UnderAnotherName:
    """A key that signs under the `kid` of somebody else's."""

    def __init__(self, signer: Signer, key_id: str) -> None:
        self._signer = signer
        self.key_id = key_id
        self.algorithm = signer.algorithm

    def sign(self, message: bytes) -> bytes:
        return self._signer.sign(message)

    def public_jwk(self) -> dict[str, str]:
        return self._signer.public_jwk()


def unsigned(world: World, *, token: str | None = None) -> HttpRequest:
    """A good request, but for its signature."""
    signed = world.signed(world.body(world.asking()), token=token)
    return replace(signed, headers={n: v for n, v in signed.headers.items() if not n.startswith("Signature")})


def signed_by(request: HttpRequest, signer: Signer, *, client_id: str, tag: str = EXCHANGE_TAG) -> HttpRequest:
    now = SystemClock().now()
    return sign_request(
        request, signer=signer, client_id=client_id, nonce=b64_encode(now.isoformat().encode()), created=now, tag=tag
    )


def assert_proves_nothing(world: World, request: HttpRequest) -> None:
    assert_turned_away(
        world,
        request,
        status=401,
        code="invalid_request_signature",
        cause="invalid_message_signature",
        binding="target",
    )


def test_the_key_of_another_member(world: World) -> None:
    assert_proves_nothing(world, signed_by(unsigned(world), world.signer(PROVIDER_CLIENT), client_id=PROVIDER_CLIENT))


def test_the_key_of_another_member_under_the_name_of_the_client(world: World) -> None:
    assert_proves_nothing(world, signed_by(unsigned(world), world.signer(PROVIDER_CLIENT), client_id=PORTAL_CLIENT))


def test_the_key_of_another_member_under_the_name_of_the_clients_key(world: World) -> None:
    forged = UnderAnotherName(world.signer(PROVIDER_CLIENT), world.signer(PORTAL_CLIENT).key_id)
    assert_proves_nothing(world, signed_by(unsigned(world), forged, client_id=PORTAL_CLIENT))


def test_the_clients_own_key_under_the_name_of_another_system(world: World) -> None:
    other = another_client(world)
    assert_proves_nothing(world, signed_by(unsigned(world), world.signer(PORTAL_CLIENT), client_id=other.client_id))


def test_the_key_with_which_a_member_signs_agreements(world: World) -> None:
    assert_proves_nothing(world, signed_by(unsigned(world), world.signer(DWP), client_id=PORTAL_CLIENT))


def test_a_key_that_nobody_registered(world: World) -> None:
    stranger = PrivateKeySigner.generate("ES256")
    assert_proves_nothing(world, signed_by(unsigned(world), stranger, client_id=PORTAL_CLIENT))


def test_another_system_of_the_same_member_signs_for_the_tokens_client(world: World) -> None:
    other = another_client(world)
    assert_proves_nothing(world, signed_by(unsigned(world), other.signer, client_id=other.client_id))


def test_the_client_signs_with_the_officers_token_of_another_system(world: World) -> None:
    other = another_client(world)
    request = unsigned(world, token=officer_token_of(world, other))
    assert_proves_nothing(world, signed_by(request, world.signer(PORTAL_CLIENT), client_id=PORTAL_CLIENT))


def test_the_right_key_for_another_use(world: World) -> None:
    request = unsigned(world)
    assert_proves_nothing(
        world, signed_by(request, world.signer(PORTAL_CLIENT), client_id=PORTAL_CLIENT, tag=PROVIDER_TAG)
    )


@pytest.mark.parametrize("alg", [None, "hmac-sha256", "rsa-v1_5-sha256", "ecdsa-p256-sha256"])
def test_the_public_key_taken_for_a_secret(world: World, alg: str | None) -> None:
    """Whoever knows a public key must not be able to make an HMAC that is taken for its signature."""
    request, public = unsigned(world), world.signer(PORTAL_CLIENT).public_jwk()
    parameters = {
        "created": int(SystemClock().now().timestamp()),
        "nonce": "a-nonce-of-its-own",
        "keyid": f"{PORTAL_CLIENT}#{public['kid']}",
        "tag": EXCHANGE_TAG,
    } | ({"alg": alg} if alg else {})
    serialized = serialize_parameters(COVERED, parameters)
    mac = hmac.digest(json.dumps(public).encode(), signature_base(COVERED, serialized, request), hashlib.sha256)
    forged = request.with_headers({"Signature-Input": f"gw={serialized}", "Signature": f"gw=:{b64_encode(mac * 2)}:"})
    assert_proves_nothing(world, forged)


def test_an_rsa_key_that_is_registered_for_tokens(world: World) -> None:
    """RFC 9421 has no name for PS256: such a key authenticates the client, and signs no message."""
    rsa = PrivateKeySigner.generate("PS256")
    other = another_client(world, keys=(rsa.public_jwk(),))
    request = unsigned(world, token=token_of_its_own(world, other.client_id, rsa))
    parameters = {
        "created": int(SystemClock().now().timestamp()),
        "nonce": "a-nonce-of-its-own",
        "keyid": f"{other.client_id}#{rsa.key_id}",
        "tag": EXCHANGE_TAG,
    }
    serialized = serialize_parameters(COVERED, parameters)
    signature = b64_encode(rsa.sign(signature_base(COVERED, serialized, request)))
    signed = request.with_headers({"Signature-Input": f"gw={serialized}", "Signature": f"gw=:{signature}:"})
    assert_proves_nothing(world, signed)


def test_no_signature_at_all(world: World) -> None:
    request = unsigned(world)
    assert "Content-Digest" in request.headers
    assert request.headers["Content-Digest"] == content_digest(request.body)
    assert_proves_nothing(world, request)


def test_a_client_that_does_not_ask_for_records_may_sign_and_is_refused(world: World) -> None:
    other = another_client(world, kinds=(ClientKind.RELYING_PARTY,))
    request = unsigned(world, token=officer_token_of(world, other))
    signed = signed_by(request, other.signer, client_id=other.client_id)
    assert_refused(world, signed, "caller_not_consumer", "client_not_covered")
    world.assert_log_verifies()
