"""RFC 9700 §4.4: a client that talks to several issuers always learns which of them answered, and tells no other."""

import html
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from gateway.wire.jws import unverified_claims
from tests.kit.oidc_world import OidcWorld, RelyingParty
from tests.kit.pushing import asked, fapi_party, push

ATTACKER = "https://attacker.example"
MODES = ("query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt")
pytestmark = pytest.mark.any_database


def members_of(answer: requests.Response) -> dict[str, str]:
    """The members of an authorization response, by whichever mode it travels."""
    location = answer.headers.get("Location")
    if location is None:
        pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', answer.text)
        members = {name: html.unescape(value) for name, value in pairs}
    else:
        parts = urlsplit(location)
        members = dict(parse_qsl(parts.fragment or parts.query))
    if "response" in members:
        claims: dict[str, Any] = unverified_claims(members["response"])
        # JARM §2.1: made for this client, by this issuer, and for a short time.
        assert {"iss", "aud", "exp"} <= set(claims)
        return claims
    return members


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outcome", ["code", "error"])
def test_mix_up_is_seen_by_the_issuer_in_every_answer(provider: OidcWorld, mode: str, outcome: str) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    wrong = {"scope": "openid", "prompt": "nonsense"} if outcome == "error" else {}
    members = members_of(browser.get(rp.request(response_mode=mode, **wrong)[0]))
    assert outcome in members
    # RFC 9207 §2.4: compared as text with the issuer of the metadata that the client has chosen by.
    configured = requests.get(f"{provider.issuer}/.well-known/openid-configuration", timeout=10).json()
    assert members["iss"] == configured["issuer"] == provider.issuer
    assert configured["authorization_response_iss_parameter_supported"] is True


@pytest.mark.parametrize("kind", ["an assertion made for the attacker", "both in a list", "the attacker's endpoint"])
def test_mix_up_gives_the_attackers_issuer_nothing_it_can_use_here(provider: OidcWorld, kind: str) -> None:
    """The client was sent to the attacker's token endpoint, with our code and an assertion for the attacker."""
    rp = provider.relying_party()
    code, verifier = rp.code(provider.signed_in(provider.officer()))
    audience: dict[str, Any] = {
        "an assertion made for the attacker": ATTACKER,
        "both in a list": [ATTACKER, provider.issuer],
        "the attacker's endpoint": f"{ATTACKER}/token",
    }
    relayed = rp.redeem(code, verifier, assertion=rp.assertion(aud=audience[kind]))
    assert (relayed.status_code, relayed.json()["error"]) == (401, "invalid_client")
    # What the attacker tried has cost the client nothing.
    assert rp.redeem(code, verifier).status_code == 200


def test_mix_up_by_a_request_made_for_another_issuer(provider: OidcWorld) -> None:
    rp: RelyingParty = fapi_party(provider)
    refused = push(rp, asked(rp)[0], assertion=rp.assertion(aud=f"{ATTACKER}/par"))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_mix_up_by_a_token_of_another_issuer(provider: OidcWorld) -> None:
    """An ID token of the attacker's, whatever it says, names nobody here and signs nobody out."""
    rp = provider.relying_party()
    browser = provider.signed_in(provider.officer())
    forged = rp.assertion(iss=ATTACKER, aud=rp.client.client_id, typ="JWT")
    told = members_of(browser.get(rp.request(id_token_hint=forged, prompt="none")[0]))
    assert told["error"] == "invalid_request"
