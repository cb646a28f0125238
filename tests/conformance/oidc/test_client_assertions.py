"""RFC 7523 §3, RFC 8725 and OIDC Core §9: what is not a fresh assertion by the client's own key, for us, is refused."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import issue_jws, unverified_claims
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import OidcWorld, RelyingParty


def now_of(rp: RelyingParty) -> int:
    return int(rp.clock.now().timestamp())


def unsigned(rp: RelyingParty) -> str:
    header = b64url_encode(json.dumps({"alg": "none", "kid": rp.signer.key_id, "typ": "JWT"}).encode())
    return f"{header}.{rp.assertion().split('.')[1]}."


def unsigned_with_the_old_signature(rp: RelyingParty) -> str:
    return unsigned(rp) + rp.assertion().split(".")[2]


def hs256_with_the_public_key(rp: RelyingParty) -> str:
    header = b64url_encode(json.dumps({"alg": "HS256", "kid": rp.signer.key_id, "typ": "JWT"}).encode())
    message = f"{header}.{rp.assertion().split('.')[1]}"
    secret = json.dumps(rp.signer.public_jwk()).encode()
    return f"{message}.{b64url_encode(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"


def with_header(**headers: object) -> Callable[[RelyingParty], str]:
    def make(rp: RelyingParty) -> str:
        payload = json.dumps(unverified_claims(rp.assertion())).encode()
        return issue_jws(payload, typ="JWT", signer=rp.signer, headers=headers)

    return make


def by_a_key_it_brings_itself(rp: RelyingParty) -> str:
    own = PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id)
    payload = json.dumps(unverified_claims(rp.assertion())).encode()
    return issue_jws(payload, typ="JWT", signer=own, headers={"jwk": own.public_jwk()})


def with_raw_header(**members: object) -> Callable[[RelyingParty], str]:
    """A good signature under a header whose members are replaced."""

    def make(rp: RelyingParty) -> str:
        header = {"alg": "ES256", "kid": rp.signer.key_id, "typ": "JWT"} | members
        message = f"{b64url_encode(json.dumps(header).encode())}.{rp.assertion().split('.')[1]}"
        return f"{message}.{b64url_encode(rp.signer.sign(message.encode()))}"

    return make


def hs256_with_an_empty_key_by_path(rp: RelyingParty) -> str:
    header = b64url_encode(json.dumps({"alg": "HS256", "kid": "../../../../dev/null", "typ": "JWT"}).encode())
    message = f"{header}.{rp.assertion().split('.')[1]}"
    return f"{message}.{b64url_encode(hmac.digest(b'', message.encode(), hashlib.sha256))}"


def tampered(rp: RelyingParty) -> str:
    header, _, signature = rp.assertion().split(".")
    return f"{header}.{rp.assertion().split('.')[1]}.{signature}"


ATTACKS: dict[str, Callable[[RelyingParty], str]] = {
    "alg none": unsigned,
    "alg none with a signature": unsigned_with_the_old_signature,
    "HS256 with the public key": hs256_with_the_public_key,
    "another key under our kid": lambda rp: rp.assertion(
        signer=PrivateKeySigner.generate("ES256", key_id=rp.signer.key_id)
    ),
    "an unknown kid": lambda rp: rp.assertion(signer=PrivateKeySigner.generate("ES256")),
    "a key it brings itself": by_a_key_it_brings_itself,
    "a key it points to": with_header(jku="https://attacker.example/jwks"),
    "a certificate it points to": with_header(x5u="https://attacker.example/chain.pem"),
    "a certificate it brings itself": with_header(x5c=["MIIB"]),
    "a critical extension": with_header(crit=["exp"]),
    "a payload that is not encoded": with_header(b64=False, crit=["b64"]),
    "alg none in other letters": with_raw_header(alg="nOnE"),
    "alg of another kind than the key": with_raw_header(alg="Ed25519"),
    "alg that is a list": with_raw_header(alg=["ES256"]),
    "no kid": with_raw_header(kid=None),
    "kid that is a list": with_raw_header(kid=["x"]),
    "kid that is a path": hs256_with_an_empty_key_by_path,
    "kid that is a query": with_raw_header(kid="x' OR '1'='1"),
    "two typ at once": with_raw_header(typ=["JWT", "JWT"]),
    "another's payload": tampered,
    "another typ": lambda rp: rp.assertion(typ="at+jwt"),
    "wrong aud": lambda rp: rp.assertion(aud="https://elsewhere.example"),
    "aud for others too": lambda rp: rp.assertion(aud=[rp.issuer, "https://elsewhere.example"]),
    "aud another endpoint": lambda rp: rp.assertion(aud=f"{rp.issuer}/userinfo"),
    "no aud": lambda rp: rp.assertion(aud=None),
    "empty aud": lambda rp: rp.assertion(aud=[]),
    "expired": lambda rp: rp.assertion(exp=now_of(rp) - 30, iat=now_of(rp) - 90),
    "no exp": lambda rp: rp.assertion(exp=None),
    "exp is text": lambda rp: rp.assertion(exp="tomorrow"),
    "lives an hour": lambda rp: rp.assertion(exp=now_of(rp) + 3600, iat=None),
    "issued ten minutes ago": lambda rp: rp.assertion(exp=now_of(rp) + 3600, iat=now_of(rp) - 600),
    "issued in the future": lambda rp: rp.assertion(iat=now_of(rp) + 60, exp=now_of(rp) + 120),
    "not yet valid": lambda rp: rp.assertion(nbf=now_of(rp) + 60),
    "no jti": lambda rp: rp.assertion(jti=None),
    "exp beyond any calendar": lambda rp: rp.assertion(exp=10**400),
    "iat beyond any calendar": lambda rp: rp.assertion(iat=-(10**400)),
    "jti not text": lambda rp: rp.assertion(jti=7),
    "endless jti": lambda rp: rp.assertion(jti="x" * 1000),
    "iss another": lambda rp: rp.assertion(iss="somebody-else"),
    "no iss": lambda rp: rp.assertion(iss=None),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_assertion_is_refused_and_in_the_log(world: OidcWorld, rp: RelyingParty, attack: str) -> None:
    answer = rp.ask(grant_type="client_credentials", assertion=ATTACKS[attack](rp))
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["Cache-Control"] == "no-store"
    rejected = [event for event in world.events("oidc.client.rejected") if event["client"] == rp.client.client_id]
    assert len(rejected) == 1
    # The same client with a good assertion is served: nothing was changed for it.
    assert rp.ask(grant_type="client_credentials").status_code == 200


@pytest.mark.parametrize(
    "text", ["", "x", "a.b", "a.b.c", "e30.e30.e30", "é.é.é", "." * 100, "e30." + "A" * 9000 + ".x"]
)
def test_what_is_no_assertion_at_all_is_refused(rp: RelyingParty, text: str) -> None:
    answer = rp.ask(grant_type="client_credentials", assertion=text or " ")
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"invalid_client", "invalid_request"}


def test_a_replayed_assertion_is_refused(world: OidcWorld, rp: RelyingParty) -> None:
    assertion = rp.assertion()
    assert rp.ask(grant_type="client_credentials", assertion=assertion).status_code == 200
    replayed = rp.ask(grant_type="client_credentials", assertion=assertion)
    assert (replayed.status_code, replayed.json()["error"]) == (401, "invalid_client")
    reasons = [
        event["reason"] for event in world.events("oidc.client.rejected") if event["client"] == rp.client.client_id
    ]
    assert reasons == ["assertion_replayed"]


def test_an_assertion_is_used_up_by_a_refused_request_too(rp: RelyingParty) -> None:
    assertion = rp.assertion()
    assert rp.ask(grant_type="authorization_code", code="guess", assertion=assertion).status_code == 400
    assert rp.ask(grant_type="client_credentials", assertion=assertion).status_code == 401


def test_one_assertion_sent_twenty_times_at_once_is_accepted_once(rp: RelyingParty) -> None:
    assertion = rp.assertion()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: rp.ask(grant_type="client_credentials", assertion=assertion), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


def test_the_same_jti_of_another_client_is_another_assertion(world: OidcWorld, rp: RelyingParty) -> None:
    jti = secrets.token_urlsafe(8)
    assert rp.ask(grant_type="client_credentials", assertion=rp.assertion(jti=jti)).status_code == 200
    other = world.relying_party()
    assert other.ask(grant_type="client_credentials", assertion=other.assertion(jti=jti)).status_code == 200


def test_a_client_id_beside_must_be_the_same_client(world: OidcWorld, rp: RelyingParty) -> None:
    other = world.relying_party()
    assert rp.ask(grant_type="client_credentials", client_id=other.client.client_id).status_code == 401
    assert rp.ask(grant_type="client_credentials", client_id=rp.client.client_id).status_code == 200


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "RS256", "Ed25519"])
def test_every_algorithm_we_say_we_accept_is_accepted(world: OidcWorld, algorithm: str) -> None:
    rp = world.relying_party(signer=PrivateKeySigner.generate(algorithm))
    assert rp.ask(grant_type="client_credentials").status_code == 200


def test_the_older_name_of_ed25519_and_other_rightful_forms_are_accepted(world: OidcWorld) -> None:
    rp = world.relying_party(signer=PrivateKeySigner.generate("Ed25519"))
    payload = json.dumps(unverified_claims(rp.assertion())).encode()
    header = b64url_encode(json.dumps({"alg": "EdDSA", "kid": rp.signer.key_id}).encode())
    message = f"{header}.{b64url_encode(payload)}"
    without_typ = f"{message}.{b64url_encode(rp.signer.sign(message.encode()))}"
    assert rp.ask(grant_type="client_credentials", assertion=without_typ).status_code == 200
    for changes in ({"aud": f"{rp.issuer}/token"}, {"aud": [rp.issuer]}, {"exp": now_of(rp) + 3600}, {"iat": None}):
        assert rp.ask(grant_type="client_credentials", assertion=rp.assertion(**changes)).status_code == 200, changes


def test_a_secret_or_nothing_at_all_is_no_proof(rp: RelyingParty) -> None:
    for pairs in (
        [("grant_type", "client_credentials"), ("client_id", rp.client.client_id)],
        [("grant_type", "client_credentials"), ("client_id", rp.client.client_id), ("client_secret", "guess")],
        [("grant_type", "client_credentials"), ("client_assertion", rp.assertion())],
    ):
        answer = rp.post_token(pairs)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
