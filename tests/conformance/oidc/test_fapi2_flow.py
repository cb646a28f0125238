"""FAPI 2.0 Security Profile and Message Signing, as the OpenID Foundation's plan goes through them.

Discovery; then a signed request that is pushed, a signed answer, tokens bound to a DPoP key, userinfo, refresh; then
the variations of it that must work, and those that must not. What the plan asks of PAR, of request objects, of PKCE and
of client assertions alone is in the files named for them.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.wire.dpop import token_hash
from gateway.wire.signer import PrivateKeySigner, Signer
from tests.kit.oidc_world import ASSERTION_TYPE, Browser, OidcWorld, RelyingParty
from tests.kit.pushing import address_of, dpop_proof, fapi_party, push, request_object

STRONG = {"PS256", "ES256", "Ed25519", "EdDSA"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One client of the plan, with its DPoP key, and somebody who is signed in."""

    world: OidcWorld
    rp: RelyingParty
    key: Signer
    browser: Browser

    def proof(self, path: str, *, key: Signer | None = None, **changes: Any) -> dict[str, str]:
        return {"DPoP": dpop_proof(self.rp, key or self.key, f"{self.rp.issuer}{path}", **changes)}

    def push(self, *, headers: dict[str, str] | None = None, **changes: Any) -> tuple[requests.Response, str]:
        request, verifier = request_object(self.rp, **{"response_mode": "jwt"} | changes)
        pairs = [("client_id", self.rp.client.client_id), ("request", request)]
        return push(self.rp, pairs, headers=headers), verifier

    def authorize(self, pushed: requests.Response) -> dict[str, Any]:
        """Send the browser; the signed answer, read by somebody else's library."""
        assert pushed.status_code == 201, pushed.text
        answer = self.browser.get(address_of(self.rp, pushed.json()["request_uri"]))
        assert answer.status_code == 303
        query = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert set(query) == {"response"}
        [response] = query["response"]
        return self.read(response)

    def read(self, token: str) -> dict[str, Any]:
        keys = KeySet.import_key_set(requests.get(f"{self.rp.issuer}/.well-known/jwks.json", timeout=10).json())
        decoded = jwt.decode(token, keys, algorithms=["ES256", "PS256"])
        assert decoded.claims["iss"] == self.world.issuer
        assert decoded.claims["aud"] == self.rp.client.client_id
        assert decoded.claims["exp"] > self.world.clock.now().timestamp()
        claims: dict[str, Any] = decoded.claims
        return claims

    def token(self, *, headers: dict[str, str] | None = None, **parameters: Any) -> requests.Response:
        authentication = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.rp.assertion()}
        with requests.Session() as session:
            session.trust_env = False
            return session.post(
                f"{self.rp.issuer}/token", data={**authentication, **parameters}, headers=headers, timeout=10
            )

    def redeem(self, code: str, verifier: str, *, headers: dict[str, str] | None = None) -> requests.Response:
        return self.token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.rp.client.redirect_uris[0],
            code_verifier=verifier,
            headers=self.proof("/token") if headers is None else headers,
        )

    def tokens(self, **changes: Any) -> dict[str, Any]:
        pushed, verifier = self.push(**changes)
        answer = self.redeem(self.authorize(pushed)["code"], verifier)
        assert answer.status_code == 200, answer.text
        members: dict[str, Any] = answer.json()
        return members

    def userinfo(self, access_token: str, *, scheme: str = "DPoP", **changes: Any) -> requests.Response:
        changes = {"ath": token_hash(access_token), "method": "GET"} | changes
        headers = {"Authorization": f"{scheme} {access_token}", **self.proof("/userinfo", **changes)}
        return requests.get(f"{self.rp.issuer}/userinfo", headers=headers, timeout=10)


@pytest.fixture(params=["ES256", "PS256", "Ed25519"])
def any_flow(provider: OidcWorld, request: pytest.FixtureRequest) -> Flow:
    """Of a client whose own key is of each kind that FAPI 2.0 has."""
    return made(provider, PrivateKeySigner.generate(request.param))


@pytest.fixture
def flow(provider: OidcWorld) -> Flow:
    return made(provider, PrivateKeySigner.generate("ES256"))


def made(provider: OidcWorld, signer: Signer) -> Flow:
    rp = fapi_party(
        provider, signer=signer, require_signed_request_object=True, authorization_signed_response_alg="ES256"
    )
    browser = provider.signed_in(provider.officer())
    return Flow(world=provider, rp=rp, key=PrivateKeySigner.generate("ES256"), browser=browser)


def test_discovery(provider: OidcWorld) -> None:
    document = requests.get(f"{provider.issuer}/.well-known/openid-configuration", timeout=10).json()
    assert document["pushed_authorization_request_endpoint"] == f"{provider.issuer}/par"
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert "jwt" in document["response_modes_supported"]
    assert document["request_parameter_supported"] is True
    assert "private_key_jwt" in document["token_endpoint_auth_methods_supported"]
    for name in (
        "token_endpoint_auth_signing_alg_values_supported",
        "request_object_signing_alg_values_supported",
        "authorization_signing_alg_values_supported",
        "id_token_signing_alg_values_supported",
        "dpop_signing_alg_values_supported",
    ):
        assert STRONG & set(document[name]), name
        assert "none" not in document[name]


def test_the_whole_flow(any_flow: Flow) -> None:
    flow = any_flow
    pushed, verifier = flow.push(state="s", nonce="n" * 64, scope="openid email offline_access")
    assert 0 < pushed.json()["expires_in"] < 600
    answer = flow.authorize(pushed)
    assert answer["state"] == "s"
    redeemed = flow.redeem(answer["code"], verifier)
    assert redeemed.headers["Cache-Control"] == "no-store"
    tokens = redeemed.json()
    assert tokens["token_type"] == "DPoP"
    id_token = flow.read(tokens["id_token"])
    assert id_token["nonce"] == "n" * 64
    about = flow.userinfo(tokens["access_token"])
    assert about.status_code == 200, about.text
    assert about.json()["sub"] == id_token["sub"]
    assert "email" in about.json()
    # FAPI 2.0 Security Profile §5.3.2.1 item 9: the refresh token stays what it is, and serves again.
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    for _ in range(2):
        refreshed = flow.token(**refresh, headers=flow.proof("/token"))
        assert refreshed.status_code == 200, refreshed.text
        assert refreshed.json().get("refresh_token", tokens["refresh_token"]) == tokens["refresh_token"]
        assert flow.userinfo(refreshed.json()["access_token"]).status_code == 200


def test_a_person_who_refuses(flow: Flow) -> None:
    pushed, _ = flow.push(prompt="consent", state="s" * 128)
    page = flow.browser.get(address_of(flow.rp, pushed.json()["request_uri"]))
    assert page.status_code == 200
    answer = flow.browser.submit(page, {"decision": "no"})
    [response] = parse_qs(urlsplit(answer.headers["Location"]).query)["response"]
    told = flow.read(response)
    assert (told["error"], told["state"]) == ("access_denied", "s" * 128)


WELL: dict[str, dict[str, Any]] = {
    "several audiences": {"aud": ["https://elsewhere.example"]},
    "no state": {"state": None},
    "no nonce": {"nonce": None},
    "a nonce of 64 characters": {"nonce": "n" * 64},
    "scopes in another order": {"scope": "email openid"},
    "a long nonce and a long state": {"nonce": "n" * 384, "state": "s" * 384},
    "the way of the answer by its full name": {"response_mode": "query.jwt"},
}


@pytest.mark.parametrize("variation", WELL)
def test_a_variation_that_works(flow: Flow, variation: str) -> None:
    changes = dict(WELL[variation])
    if "aud" in changes:
        changes["aud"] = [*changes["aud"], flow.rp.issuer]
    tokens = flow.tokens(**changes)
    assert flow.userinfo(tokens["access_token"]).status_code == 200


@pytest.mark.parametrize("seconds", [-10, 10])
def test_a_proof_whose_clock_is_ten_seconds_apart_works(flow: Flow, seconds: int) -> None:
    at = int(flow.world.clock.now().timestamp()) + seconds
    pushed, verifier = flow.push()
    redeemed = flow.redeem(flow.authorize(pushed)["code"], verifier, headers=flow.proof("/token", iat=at))
    assert redeemed.status_code == 200
    assert flow.userinfo(redeemed.json()["access_token"], iat=at).status_code == 200


@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "DPOP"])
def test_the_scheme_is_read_without_case(flow: Flow, scheme: str) -> None:
    assert flow.userinfo(flow.tokens()["access_token"], scheme=scheme).status_code == 200


@pytest.mark.parametrize("binding", ["dpop_jkt", "a proof at /par", "both"])
def test_a_code_is_bound_to_a_dpop_key(flow: Flow, binding: str) -> None:
    jkt = flow.key.public_jwk()["kid"]
    for key, works in ((flow.key, True), (PrivateKeySigner.generate("ES256"), False)):
        pushed, verifier = flow.push(
            headers=flow.proof("/par") if binding != "dpop_jkt" else None,
            dpop_jkt=jkt if binding != "a proof at /par" else None,
        )
        code = flow.authorize(pushed)["code"]
        redeemed = flow.redeem(code, verifier, headers=flow.proof("/token", key=key))
        if works:
            assert redeemed.status_code == 200, redeemed.text
        else:
            assert (redeemed.status_code, redeemed.json()["error"]) == (400, "invalid_grant")


def test_a_code_without_its_proof(flow: Flow) -> None:
    pushed, verifier = flow.push()
    refused = flow.redeem(flow.authorize(pushed)["code"], verifier, headers={})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")


def test_a_code_is_used_once_and_within_a_minute(flow: Flow) -> None:
    pushed, verifier = flow.push()
    code = flow.authorize(pushed)["code"]
    tokens = flow.redeem(code, verifier).json()
    assert flow.redeem(code, verifier).json()["error"] == "invalid_grant"
    # What came of its first use is taken back.
    assert flow.userinfo(tokens["access_token"]).status_code == 401
    pushed, verifier = flow.push()
    late = flow.authorize(pushed)["code"]
    flow.world.advance(seconds=60)
    assert flow.redeem(late, verifier).json()["error"] == "invalid_grant"


def test_a_code_of_another_client(flow: Flow, provider: OidcWorld) -> None:
    thief = made(provider, PrivateKeySigner.generate("ES256"))
    pushed, verifier = flow.push()
    code = flow.authorize(pushed)["code"]
    assert thief.redeem(code, verifier).json()["error"] == "invalid_grant"
    assert flow.redeem(code, verifier).status_code == 200


@pytest.mark.parametrize("verifier", [None, "v" * 43])
def test_a_code_without_its_verifier(flow: Flow, verifier: str | None) -> None:
    pushed, _ = flow.push()
    parameters = {"code_verifier": verifier} if verifier is not None else {}
    refused = flow.token(
        grant_type="authorization_code",
        code=flow.authorize(pushed)["code"],
        redirect_uri=flow.rp.client.redirect_uris[0],
        headers=flow.proof("/token"),
        **parameters,
    )
    assert refused.json()["error"] in {"invalid_grant", "invalid_request"}
    assert refused.status_code == 400


def test_a_refresh_token_is_bound_by_its_client_and_what_it_gives_by_the_key_shown(flow: Flow) -> None:
    tokens = flow.tokens(scope="openid offline_access")
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert flow.token(**refresh).json()["error"] == "invalid_dpop_proof"
    # RFC 9449 §5: a confidential client's own authentication constrains it, so that the client may change its DPoP key.
    next_key = PrivateKeySigner.generate("ES256")
    moved = flow.token(**refresh, headers=flow.proof("/token", key=next_key)).json()
    assert moved["token_type"] == "DPoP"
    assert flow.userinfo(moved["access_token"], key=next_key).status_code == 200
    assert flow.userinfo(moved["access_token"]).status_code == 401


def test_a_refresh_token_of_another_client(flow: Flow, provider: OidcWorld) -> None:
    thief = made(provider, PrivateKeySigner.generate("ES256"))
    tokens = flow.tokens(scope="openid offline_access")
    stolen = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert thief.token(**stolen, headers=thief.proof("/token")).json()["error"] == "invalid_grant"
    assert flow.token(**stolen, headers=flow.proof("/token")).status_code == 200


def test_a_bound_token_is_no_bearer_token(flow: Flow) -> None:
    token = flow.tokens()["access_token"]
    assert flow.rp.userinfo(token).status_code == 401
    assert flow.userinfo(token, scheme="Bearer").status_code == 401
    assert flow.userinfo(token, key=PrivateKeySigner.generate("ES256")).status_code == 401
    assert flow.userinfo(token, ath="x").status_code == 401
    assert flow.userinfo(token).status_code == 200


def test_no_token_is_found_in_an_address(flow: Flow) -> None:
    token = flow.tokens()["access_token"]
    answer = requests.get(f"{flow.rp.issuer}/userinfo", params={"access_token": token}, timeout=10)
    assert answer.status_code == 401
