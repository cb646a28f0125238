"""What discovery says of pushed, signed and signed-for requests works, and what it does not name is refused."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from gateway.wire.encoding import b64url_encode
from gateway.wire.jws import unverified_header
from gateway.wire.signer import PrivateKeySigner
from tests.kit.oidc_world import REDIRECT_URI, OidcWorld, RelyingParty
from tests.kit.pushing import TYPE, by_value, pushed, request_claims

NOT_ADVERTISED = ("none", "HS256", "ES384", "RS512", "RS1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """The document, and whoever is signed in."""

    provider: OidcWorld
    document: Mapping[str, Any]

    def told(self, address: str) -> dict[str, list[str]]:
        answer = self.provider.signed_in(self.provider.officer()).get(address)
        if answer.status_code == 200:
            return {"page": [answer.text]}
        parts = urlsplit(answer.headers["Location"])
        return parse_qs(parts.query) | parse_qs(parts.fragment)


@pytest.fixture
def discovered(provider: OidcWorld) -> Discovered:
    address = f"{provider.issuer}/.well-known/openid-configuration"
    return Discovered(provider=provider, document=requests.get(address, timeout=10).json())


def signed_with(rp: RelyingParty, algorithm: str) -> str:
    """A request object that names this algorithm in its header."""
    header = b64url_encode(json.dumps({"alg": algorithm, "kid": rp.signer.key_id, "typ": TYPE}).encode())
    message = f"{header}.{b64url_encode(json.dumps(request_claims(rp)[0]).encode())}"
    return f"{message}.{b64url_encode(rp.signer.sign(message.encode()))}"


def test_every_response_mode_works_and_no_other(discovered: Discovered) -> None:
    rp = discovered.provider.relying_party(oauth=OAuthSettings(authorization_signed_response_alg="ES256"))
    modes = discovered.document["response_modes_supported"]
    assert {"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"} == set(modes)
    for mode in modes:
        told = discovered.told(rp.request(response_mode=mode)[0])
        holds = "response" if "jwt" in mode else "code"
        assert f'name="{holds}"' in told["page"][0] if "form_post" in mode else holds in told, mode
    assert discovered.told(rp.request(response_mode="web_message")[0])["error"] == ["invalid_request"]


def test_every_algorithm_of_request_objects_works_and_no_other(discovered: Discovered) -> None:
    advertised = discovered.document["request_object_signing_alg_values_supported"]
    assert discovered.document["request_parameter_supported"] is True
    for algorithm in advertised:
        signer = PrivateKeySigner.generate("Ed25519" if algorithm == "EdDSA" else algorithm)
        rp = discovered.provider.relying_party(signer=signer)
        assert "code" in discovered.told(by_value(rp, signed_with(rp, algorithm))), algorithm
    rp = discovered.provider.relying_party()
    for algorithm in NOT_ADVERTISED:
        assert algorithm not in advertised
        told = discovered.told(by_value(rp, signed_with(rp, algorithm), redirect_uri=REDIRECT_URI))
        assert told["error"] == ["invalid_request_object"], algorithm


def test_every_algorithm_of_answers_works(discovered: Discovered) -> None:
    for algorithm in discovered.document["authorization_signing_alg_values_supported"]:
        settings = OAuthSettings(authorization_signed_response_alg=algorithm)
        rp = discovered.provider.relying_party(oauth=settings)
        [response] = discovered.told(rp.request(response_mode="jwt")[0])["response"]
        assert unverified_header(response)["alg"] == algorithm


def test_requests_are_pushed_where_it_says(discovered: Discovered) -> None:
    rp = discovered.provider.relying_party()
    assert discovered.document["pushed_authorization_request_endpoint"] == f"{rp.issuer}/par"
    assert pushed(rp)[0]
    # Of clients in general nothing is required, as it says; and no request_uri is fetched.
    for name in (
        "require_pushed_authorization_requests",
        "require_signed_request_object",
        "request_uri_parameter_supported",
    ):
        assert discovered.document[name] is False
    assert "code" in discovered.told(rp.request()[0])
    told = discovered.told(rp.request(request_uri="https://rp.example/request.jwt")[0])
    assert told["error"] == ["request_uri_not_supported"]
