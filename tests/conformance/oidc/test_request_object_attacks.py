"""RFC 9101 §10, RFC 8725: what is not a fresh request, signed by this client's own key for this issuer, is refused."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import unverified_claims
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import REDIRECT_URI, Answer, OidcWorld, RelyingParty
from tests.kit.pushing import TYPE, by_value, fapi_party, push, request_claims, request_object


def now_of(rp: RelyingParty) -> int:
    return int(rp.clock.now().timestamp())


def with_changes(**changes: Any) -> Callable[[RelyingParty], str]:
    return lambda rp: request_object(rp, **changes)[0]


def at(**offsets: int) -> Callable[[RelyingParty], str]:
    """Times, in seconds from now."""

    def make(rp: RelyingParty) -> str:
        times: dict[str, Any] = {name: now_of(rp) + offset for name, offset in offsets.items()}
        return request_object(rp, **times)[0]

    return make


def unsigned(rp: RelyingParty) -> str:
    header = b64url_encode(json.dumps({"alg": "none", "kid": rp.signer.key_id, "typ": TYPE}).encode())
    return f"{header}.{request_object(rp)[0].split('.')[1]}."


def hs256_with_the_public_key(rp: RelyingParty) -> str:
    header = b64url_encode(json.dumps({"alg": "HS256", "kid": rp.signer.key_id, "typ": TYPE}).encode())
    message = f"{header}.{request_object(rp)[0].split('.')[1]}"
    secret = json.dumps(rp.signer.public_jwk()).encode()
    return f"{message}.{b64url_encode(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"


def by_a_key_it_brings_itself(rp: RelyingParty) -> str:
    own = PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id)
    return request_object(rp, signer=own, headers={"jwk": own.public_jwk()})[0]


def another_payload(rp: RelyingParty) -> str:
    header, _, signature = request_object(rp)[0].split(".")
    return f"{header}.{request_object(rp)[0].split('.')[1]}.{signature}"


def a_client_assertion(rp: RelyingParty) -> str:
    claims, _ = request_claims(rp)
    return rp.assertion(**{**claims, "iss": rp.client.client_id})


ATTACKS: dict[str, Callable[[RelyingParty], str]] = {
    "alg none": unsigned,
    "alg none with a signature": lambda rp: unsigned(rp) + request_object(rp)[0].split(".")[2],
    "HS256 with the public key": hs256_with_the_public_key,
    "a key it brings itself": by_a_key_it_brings_itself,
    "a key it points to by jku": with_changes(headers={"jku": "https://attacker.example/jwks"}),
    "a key it points to by x5u": with_changes(headers={"x5u": "https://attacker.example/cert"}),
    "a critical extension": with_changes(headers={"crit": ["exp"]}),
    "another key under our kid": lambda rp: request_object(
        rp, signer=PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id)
    )[0],
    "an unknown kid": with_changes(signer=PrivateKeySigner.generate("ES256")),
    "another's payload": another_payload,
    "wrong aud": with_changes(aud="https://elsewhere.example"),
    "aud the token endpoint": lambda rp: request_object(rp, aud=f"{rp.issuer}/token")[0],
    "no aud": with_changes(aud=None),
    "wrong typ": with_changes(typ="at+jwt"),
    "typ of a DPoP proof": with_changes(typ="dpop+jwt"),
    "typ of a client assertion": with_changes(typ="client-authentication+jwt"),
    "a client assertion": a_client_assertion,
    "wrong iss": with_changes(iss="somebody-else"),
    "no iss": with_changes(iss=None),
    "another client_id inside": with_changes(client_id="somebody-else"),
    "expired": at(nbf=-600, exp=-11),
    "no exp": with_changes(exp=None),
    "exp is text": with_changes(exp="tomorrow"),
    "nbf in the future": at(nbf=11, exp=60),
    "issued in the future": at(iat=61),
    "a request inside": with_changes(request="x.y.z"),
    "a request_uri inside": with_changes(request_uri="urn:ietf:params:oauth:request_uri:x"),
    "not a JWT": lambda _rp: "x",
    "encrypted": lambda _rp: "a.b.c.d.e",
}

OF_FAPI: dict[str, Callable[[RelyingParty], str]] = {
    "no nbf": with_changes(nbf=None),
    "nbf over an hour ago": at(nbf=-3605, exp=-8),
    "exp over an hour after nbf": at(nbf=0, exp=3601),
    "no client_id": with_changes(client_id=None),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_request_object_is_refused_at_the_authorization_endpoint(provider: OidcWorld, attack: str) -> None:
    rp = provider.relying_party()
    request = ATTACKS[attack](rp)
    browser = provider.signed_in(provider.officer())
    told = Answer(
        address=browser.get(by_value(rp, request, redirect_uri=REDIRECT_URI, scope="openid")).headers["Location"]
    ).parameters
    assert told["error"] == "invalid_request_object"
    assert told["iss"] == provider.issuer


@pytest.mark.parametrize("attack", ATTACKS | OF_FAPI)
def test_a_bad_request_object_is_refused_when_it_is_pushed(provider: OidcWorld, attack: str) -> None:
    rp = fapi_party(provider, require_signed_request_object=True)
    answer = push(rp, [("request", (ATTACKS | OF_FAPI)[attack](rp)), ("client_id", rp.client.client_id)])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request_object")
    (event,) = provider.events("oidc.request.refused")
    assert (event["client"], event["reason"]) == (rp.client.client_id, "invalid_request_object")
    # The same client with a good one is served.
    assert push(rp, [("request", request_object(rp)[0])]).status_code == 201


def test_rs256_under_fapi(provider: OidcWorld) -> None:
    weak, strong = PrivateKeySigner.generate("RS256"), PrivateKeySigner.generate("PS256")
    rp = fapi_party(provider, signer=strong)
    rp = provider.relying_party(signer=strong, keys=(weak.public_jwk(), strong.public_jwk()), oauth=rp.client.oauth)
    refused = push(rp, [("request", request_object(rp, signer=weak)[0])])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request_object")
    assert push(rp, [("request", request_object(rp)[0])]).status_code == 201


def test_the_request_object_of_another_client(provider: OidcWorld) -> None:
    rp, thief = provider.relying_party(), provider.relying_party()
    browser = provider.signed_in(provider.officer())
    stolen, _ = request_object(rp)
    told = Answer(address=browser.get(by_value(thief, stolen, redirect_uri=REDIRECT_URI)).headers["Location"])
    assert told.parameters["error"] == "invalid_request_object"
    # Nor may a client sign in another's name.
    forged, _ = request_object(rp, signer=thief.signer)
    told = Answer(address=browser.get(by_value(rp, forged, redirect_uri=REDIRECT_URI)).headers["Location"])
    assert told.parameters["error"] == "invalid_request_object"
    assert push(thief, [("request", stolen)]).json()["error"] == "invalid_request_object"


def test_an_id_token_as_a_request_object(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    browser = provider.browser()
    id_token = rp.tokens(browser, provider.officer())["id_token"]
    told = Answer(address=browser.get(by_value(rp, id_token, redirect_uri=REDIRECT_URI)).headers["Location"])
    assert told.parameters["error"] == "invalid_request_object"


@pytest.mark.parametrize("typ", [TYPE, "JWT"])
def test_a_request_object_as_a_client_assertion(provider: OidcWorld, typ: str) -> None:
    rp = provider.relying_party()
    request, _ = request_object(rp, typ=typ)
    answer = rp.ask(grant_type="client_credentials", assertion=request)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_client_assertion_as_a_request_object_does_not_use_it_up(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    assertion = rp.assertion()
    provider.browser().get(by_value(rp, assertion, redirect_uri=REDIRECT_URI))
    assert rp.ask(grant_type="client_credentials", assertion=assertion).status_code == 200


def test_a_parameter_outside_contradicting_inside(provider: OidcWorld) -> None:
    second = REDIRECT_URI + "/second"
    rp = provider.relying_party(redirect_uris=(REDIRECT_URI, second))
    request, verifier = request_object(rp, state="inside", scope="openid")
    address = by_value(
        rp,
        request,
        redirect_uri=second,
        state="outside",
        scope="openid email",
        nonce="outside",
        code_challenge="A" * 43,
        prompt="none",
    )
    answer = provider.signed_in(provider.officer()).get(address)
    assert answer.headers["Location"].startswith(REDIRECT_URI + "?")
    told = Answer(address=answer.headers["Location"]).parameters
    assert told["state"] == "inside"
    tokens = rp.redeem(told["code"], verifier).json()
    assert tokens["scope"] == "openid"
    assert unverified_claims(tokens["id_token"])["nonce"] != "outside"


def test_a_parameter_outside_does_not_stand_in_for_one_inside(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    browser = provider.signed_in(provider.officer())
    request, _ = request_object(rp, state=None)
    told = Answer(address=browser.get(by_value(rp, request, state="outside")).headers["Location"]).parameters
    assert set(told) == {"code", "iss"}
    without, _ = request_object(rp, redirect_uri=None)
    page = browser.get(by_value(rp, without, redirect_uri=REDIRECT_URI))
    assert (page.status_code, "Location" in page.headers) == (400, False)
    answer = push(rp, [("request", without), ("redirect_uri", REDIRECT_URI)])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_request_beside_a_request_uri(provider: OidcWorld) -> None:
    rp = provider.relying_party()
    request, _ = request_object(rp)
    reference = push(rp, [("request", request)]).json()["request_uri"]
    address = by_value(rp, request, request_uri=reference, redirect_uri=REDIRECT_URI)
    told = Answer(address=provider.signed_in(provider.officer()).get(address).headers["Location"]).parameters
    assert told["error"] == "invalid_request"
