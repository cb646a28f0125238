"""RFC 9449 §4.3, §7 and §11: a proof that breaks a rule opens nothing, and a bound token is nothing without its key."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from gateway.once.once import purge_used
from gateway.wire.encoding import b64url_encode
from gateway.wire.signer import PrivateKeySigner
from tests.kit.dpop import DPoPKey
from tests.kit.oidc_world import ASSERTION_TYPE, OidcWorld, RelyingParty

BOUND = OAuthSettings(dpop_bound_access_tokens=True)

Proof = Callable[[DPoPKey, str, str, str | None], str | None]
"""Makes the `DPoP` header for a method, an address and a token; None leaves it out."""


def changed(**changes: Any) -> Proof:
    return lambda key, method, address, token: key.proof(method, address, token=token, **changes)


def at(**by: int) -> Proof:
    def make(key: DPoPKey, method: str, address: str, token: str | None) -> str:
        return key.proof(method, address, token=token, iat=int(key.clock.now().timestamp()) + by["seconds"])

    return make


def signed_by_another_key(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    return key.proof(method, address, token=token, signer=PrivateKeySigner.generate("ES256"))


def with_a_private_key(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    return key.proof(
        method, address, token=token, header={"jwk": {**key.jwk, "d": b64url_encode(secrets.token_bytes(32))}}
    )


def hs256_with_the_public_key(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    message = key.proof(method, address, token=token, header={"alg": "HS256"}).rpartition(".")[0]
    mac = hmac.digest(json.dumps(key.jwk).encode(), message.encode(), hashlib.sha256)
    return f"{message}.{b64url_encode(mac)}"


def with_a_symmetric_key(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    secret = secrets.token_bytes(32)
    jwk = {"kty": "oct", "k": b64url_encode(secret)}
    message = key.proof(method, address, token=token, header={"alg": "HS256", "jwk": jwk}).rpartition(".")[0]
    return f"{message}.{b64url_encode(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def unsigned(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    return key.proof(method, address, token=token, header={"alg": "none"}).rpartition(".")[0] + "."


def by_an_algorithm_too_many(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    other = DPoPKey(clock=key.clock, signer=PrivateKeySigner.generate("PS256"))
    return other.proof(method, address, token=token, header={"alg": "RS256"})


def twice(key: DPoPKey, method: str, address: str, token: str | None) -> str:
    # As it arrives from any server when the header was sent twice (RFC 9110 §5.3).
    return f"{key.proof(method, address, token=token)}, {key.proof(method, address, token=token)}"


def elsewhere(change: Callable[[str], str]) -> Proof:
    return lambda key, method, address, token: key.proof(method, change(address), token=token)


ATTACKS: dict[str, Proof] = {
    "not a JWT": lambda *_: "proof",
    "not base64": lambda *_: "é.é.é",
    "two headers": twice,
    "no typ": changed(header={"typ": None}),
    "wrong typ": changed(header={"typ": "JWT"}),
    "alg none": unsigned,
    "no alg": changed(header={"alg": None}),
    "alg not text": changed(header={"alg": 7}),
    "HS256 with the public key": hs256_with_the_public_key,
    "HS256 with a symmetric jwk": with_a_symmetric_key,
    "RS256": by_an_algorithm_too_many,
    "no jwk": changed(header={"jwk": None}),
    "jwk is text": changed(header={"jwk": "key"}),
    "jwk is empty": changed(header={"jwk": {}}),
    "jwk of another kind than alg": changed(header={"alg": "Ed25519"}),
    "private key in jwk": with_a_private_key,
    "signed by another key": signed_by_another_key,
    "a critical extension": changed(header={"crit": ["b64"], "b64": False}),
    "a key it points to": changed(header={"jku": "https://attacker.example/jwks"}),
    "no jti": changed(jti=None),
    "jti not text": changed(jti=7),
    "empty jti": changed(jti=""),
    "endless jti": changed(jti="x" * 1000),
    "no htm": changed(htm=None),
    "wrong htm": changed(htm="PUT"),
    "htm in small letters": lambda key, method, address, token: key.proof(method.lower(), address, token=token),
    "no htu": changed(htu=None),
    "htu not text": changed(htu=["x"]),
    "htu unreadable": changed(htu="http://[/"),
    "htu another endpoint": elsewhere(lambda address: address.rpartition("/")[0] + "/introspect"),
    "htu another host": elsewhere(lambda address: address.replace("localhost", "127.0.0.1")),
    "htu another port": elsewhere(lambda address: address.replace("localhost:", "localhost:1")),
    "htu another scheme": elsewhere(lambda address: address.replace("http:", "https:")),
    "htu with a user": elsewhere(lambda address: address.replace("//", "//someone@")),
    "htu longer": elsewhere(lambda address: address + "/x"),
    "no iat": changed(iat=None),
    "iat not a number": changed(iat="now"),
    "iat true": changed(iat=True),
    "iat beyond any calendar": changed(iat=10**400),
    "iat too old": at(seconds=-61),
    "iat too far ahead": at(seconds=61),
}
AT_RESOURCES: dict[str, Proof] = {
    "no proof": lambda *_: None,
    "no ath": changed(ath=None),
    "ath of another token": changed(ath=b64url_encode(hashlib.sha256(b"another").digest())),
    "ath not text": changed(ath=7),
    "by another key": lambda key, method, address, token: DPoPKey(clock=key.clock).proof(method, address, token=token),
}


@pytest.fixture
def rp(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party(oauth=BOUND)


@pytest.fixture
def key(provider: OidcWorld) -> DPoPKey:
    return DPoPKey(clock=provider.clock)


def ask(rp: RelyingParty, proof: str | None, **parameters: Any) -> requests.Response:
    headers = {"DPoP": proof.encode()} if proof is not None else {}
    return rp.ask(headers=headers, **({"grant_type": "client_credentials"} | parameters))  # type: ignore[arg-type]


def bound_token(provider: OidcWorld, rp: RelyingParty, key: DPoPKey) -> str:
    code, verifier = rp.code(provider.signed_in(provider.officer()))
    answer = rp.redeem(code, verifier, headers={"DPoP": key.proof("POST", f"{rp.issuer}/token")})
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "DPoP"
    token: str = answer.json()["access_token"]
    return token


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_proof_gets_no_token_and_is_in_the_log(
    provider: OidcWorld, rp: RelyingParty, key: DPoPKey, attack: str
) -> None:
    answer = ask(rp, ATTACKS[attack](key, "POST", f"{rp.issuer}/token", None))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof"), answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert [event["reason"] for event in provider.events("oidc.tokens.refused")] == ["invalid_dpop_proof"]
    # The same client with a good proof is served.
    assert ask(rp, key.proof("POST", f"{rp.issuer}/token")).status_code == 200


def test_at_resources_every_bad_proof_opens_nothing(provider: OidcWorld, rp: RelyingParty, key: DPoPKey) -> None:
    token, address = bound_token(provider, rp, key), f"{rp.issuer}/userinfo"
    for name, attack in (ATTACKS | AT_RESOURCES).items():
        proof = attack(key, "GET", address, token)
        headers = {"Authorization": f"DPoP {token}"} | ({"DPoP": proof.encode()} if proof is not None else {})
        answer = rp.userinfo(token, headers=headers)
        assert answer.status_code == 401, name
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("DPoP "), name
        assert 'error="invalid_dpop_proof"' in challenge, name
        assert 'algs="ES256 PS256 Ed25519 EdDSA"' in challenge
    assert rp.userinfo(token, headers=key.showing(token, "GET", address)).status_code == 200


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "Ed25519"])
def test_a_proof_is_accepted_once_and_is_no_use_to_whoever_overheard_it(
    provider: OidcWorld, rp: RelyingParty, algorithm: str
) -> None:
    key = DPoPKey(clock=provider.clock, signer=PrivateKeySigner.generate(algorithm))
    proof = key.proof("POST", f"{rp.issuer}/token")
    first, second = ask(rp, proof), ask(rp, proof)
    assert (first.status_code, first.json()["token_type"]) == (200, "DPoP")
    assert (second.status_code, second.json()["error"]) == (400, "invalid_dpop_proof")
    token, address = bound_token(provider, rp, key), f"{rp.issuer}/userinfo"
    shown = key.showing(token, "GET", address)
    assert rp.userinfo(token, headers=shown).status_code == 200
    replayed = rp.userinfo(token, headers=shown)
    assert replayed.status_code == 401
    assert 'error="invalid_dpop_proof"' in replayed.headers["WWW-Authenticate"]


def test_two_headers_with_good_proofs_are_one_too_many(rp: RelyingParty, key: DPoPKey) -> None:
    parts = urlsplit(rp.issuer)
    form = urlencode(
        {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": rp.assertion(),
        }
    )
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.putrequest("POST", "/token")
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.putheader("Content-Length", str(len(form)))
    for _ in range(2):
        connection.putheader("DPoP", key.proof("POST", f"{rp.issuer}/token"))
    connection.endheaders(form.encode())
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["error"]) == (400, "invalid_dpop_proof")
    connection.close()


def test_one_proof_shown_ten_times_at_once_opens_once(provider: OidcWorld, rp: RelyingParty, key: DPoPKey) -> None:
    token = bound_token(provider, rp, key)
    shown = key.showing(token, "GET", f"{rp.issuer}/userinfo")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: rp.userinfo(token, headers=shown).status_code, range(10)))
    assert sorted(answers) == [200] + [401] * 9


def test_the_same_jti_by_another_key_is_another_proof(rp: RelyingParty, key: DPoPKey) -> None:
    address = f"{rp.issuer}/token"
    assert ask(rp, key.proof("POST", address, jti="the-same")).status_code == 200
    assert ask(rp, DPoPKey(clock=key.clock).proof("POST", address, jti="the-same")).status_code == 200


def test_a_proof_is_remembered_for_as_long_as_it_would_be_accepted(
    provider: OidcWorld, rp: RelyingParty, key: DPoPKey
) -> None:
    # Made by a clock ten seconds ahead, it would be accepted for seventy.
    ahead = int(provider.clock.now().timestamp()) + 10
    proof = key.proof("POST", f"{rp.issuer}/token", iat=ahead)
    assert ask(rp, proof).status_code == 200
    provider.advance(seconds=69)
    with provider.gateway.database.write() as session:
        purge_used(session, now=provider.clock.now())
    assert ask(rp, proof).json()["error"] == "invalid_dpop_proof"


def test_a_bound_token_is_refused_as_a_bearers(provider: OidcWorld, rp: RelyingParty, key: DPoPKey) -> None:
    token = bound_token(provider, rp, key)
    for headers in (
        {"Authorization": f"Bearer {token}"},
        # With a good proof beside it too: the scheme says that no proof is looked at.
        {**key.showing(token, "GET", f"{rp.issuer}/userinfo"), "Authorization": f"Bearer {token}"},
    ):
        downgraded = rp.userinfo(token, headers=headers)
        assert downgraded.status_code == 401
        assert downgraded.headers["WWW-Authenticate"].startswith("Bearer ")
        assert "DPoP algs=" in downgraded.headers["WWW-Authenticate"]
    in_the_body = rp.userinfo(token, method="POST", headers={}, data={"access_token": token})
    assert in_the_body.status_code == 401


def test_a_bearers_token_is_refused_with_a_proof(provider: OidcWorld, key: DPoPKey) -> None:
    free = provider.relying_party()
    code, verifier = free.code(provider.signed_in(provider.officer()))
    token = free.redeem(code, verifier).json()["access_token"]
    answer = free.userinfo(token, headers=key.showing(token, "GET", f"{free.issuer}/userinfo"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("DPoP ")
    assert free.userinfo(token).status_code == 200


def test_another_clients_proof_does_not_go_with_a_stolen_token(
    provider: OidcWorld, rp: RelyingParty, key: DPoPKey
) -> None:
    token, thief = bound_token(provider, rp, key), DPoPKey(clock=provider.clock)
    stolen = rp.userinfo(token, headers=thief.showing(token, "GET", f"{rp.issuer}/userinfo"))
    assert stolen.status_code == 401
    own = bound_token(provider, rp, thief)
    # Nor does a proof that the owner made for another token of its own.
    mixed = {**key.showing(token, "GET", f"{rp.issuer}/userinfo"), "Authorization": f"DPoP {own}"}
    assert rp.userinfo(own, headers=mixed).status_code == 401


def test_a_client_of_bound_tokens_gets_no_others(provider: OidcWorld, rp: RelyingParty) -> None:
    answer = ask(rp, None)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")
    under_fapi = provider.relying_party(oauth=OAuthSettings(fapi2=True))
    refused = ask(under_fapi, None)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")
    assert [event["reason"] for event in provider.events("oidc.tokens.refused")] == ["invalid_dpop_proof"] * 2


def test_a_code_is_redeemed_by_the_key_it_is_bound_to_alone(provider: OidcWorld, key: DPoPKey) -> None:
    rp, address = provider.relying_party(), f"{provider.issuer}/token"
    code, verifier = rp.code(provider.signed_in(provider.officer()), dpop_jkt=key.jkt)
    without = rp.redeem(code, verifier)
    assert (without.status_code, without.json()["error"]) == (400, "invalid_grant")
    by_a_thief = rp.redeem(code, verifier, headers={"DPoP": DPoPKey(clock=key.clock).proof("POST", address)})
    assert (by_a_thief.status_code, by_a_thief.json()["error"]) == (400, "invalid_grant")
    # Neither attempt cost the owner its code.
    good = rp.redeem(code, verifier, headers={"DPoP": key.proof("POST", address)})
    assert (good.status_code, good.json()["token_type"]) == (200, "DPoP")


def test_a_refresh_binds_to_the_key_of_its_own_proof(provider: OidcWorld, key: DPoPKey) -> None:
    rp, address = provider.relying_party(oauth=BOUND), f"{provider.issuer}/token"
    code, verifier = rp.code(provider.signed_in(provider.officer()), scope="openid offline_access")
    first = rp.redeem(code, verifier, headers={"DPoP": key.proof("POST", address)}).json()
    downgraded = rp.ask(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (downgraded.status_code, downgraded.json()["error"]) == (400, "invalid_dpop_proof")
    # RFC 9449 §5: the refresh token is bound by the client's authentication, so its client may take a new key.
    new = DPoPKey(clock=key.clock)
    refreshed = rp.ask(
        grant_type="refresh_token",
        refresh_token=first["refresh_token"],
        headers={"DPoP": new.proof("POST", address)},
    )
    assert refreshed.status_code == 200, refreshed.text
    token = refreshed.json()["access_token"]
    assert rp.userinfo(token, headers=key.showing(token, "GET", f"{rp.issuer}/userinfo")).status_code == 401
    assert rp.userinfo(token, headers=new.showing(token, "GET", f"{rp.issuer}/userinfo")).status_code == 200


def test_query_and_default_spelling_of_an_address_do_not_count(rp: RelyingParty, key: DPoPKey) -> None:
    address = f"{rp.issuer}/token"
    for spelling in (f"{address}?x=1#y", address.replace("http://localhost", "HTTP://LocalHost")):
        assert ask(rp, key.proof("POST", spelling)).status_code == 200, spelling


def test_a_clock_a_little_ahead_or_behind_is_accepted(rp: RelyingParty, key: DPoPKey) -> None:
    now, address = int(key.clock.now().timestamp()), f"{rp.issuer}/token"
    for iat in (now - 59, now + 10, float(now)):
        assert ask(rp, key.proof("POST", address, iat=iat)).status_code == 200, iat - now
