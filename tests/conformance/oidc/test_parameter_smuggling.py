"""RFC 6749 §3.1, §3.2 and §2.3: of two readings of one request, neither is chosen; credentials are in one place."""

import base64
from collections.abc import Sequence
from urllib.parse import urlencode

import pytest
import requests

from gateway.directory.oauth import OAuthSettings
from tests.kit.oidc_world import ASSERTION_TYPE, REDIRECT_URI, Answer, OidcWorld, RelyingParty
from tests.kit.pushing import asked, push

pytestmark = pytest.mark.any_database
Pairs = Sequence[tuple[str, str]]
GRANT = ("grant_type", "client_credentials")


def send(rp: RelyingParty, path: str, pairs: Pairs, *, query: Pairs = (), **options: object) -> requests.Response:
    address = f"{rp.issuer}{path}" + (f"?{urlencode(query)}" if query else "")
    return requests.post(address, data=list(pairs), timeout=10, allow_redirects=False, **options)  # type: ignore[arg-type]


def proof_of(rp: RelyingParty) -> list[tuple[str, str]]:
    return [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", rp.assertion())]


REPEATED = [
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
    "prompt",
    "max_age",
    "login_hint",
    "acr_values",
    "claims",
    "ui_locales",
    "display",
    "id_token_hint",
    "unknown",
]


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("same", [True, False], ids=["the same value", "another value"])
def test_a_parameter_that_comes_twice_is_refused_wherever_it_is_sent(
    provider: OidcWorld,
    name: str,
    same: bool,  # noqa: FBT001 - a table's column
) -> None:
    rp, browser = provider.relying_party(), provider.signed_in(provider.officer())
    pairs = asked(rp)[0]
    value = dict(pairs).get(name, "1")
    pairs = [*(pair for pair in pairs if pair[0] != name), (name, value), (name, value if same else value + "x")]
    answer = browser.get(f"{rp.issuer}/authorize?{urlencode(pairs)}")
    separator = "#" if "#" in answer.headers["Location"] else "?"
    told = Answer(address=answer.headers["Location"].replace(separator, "?", 1)).parameters
    assert (told["error"], "code" in told) == ("invalid_request", False)
    # Of a state that came twice, neither is repeated.
    assert ("state" in told) == (name != "state")
    assert push(rp, pairs).json()["error"] == "invalid_request"


@pytest.mark.parametrize("path", ["/token", "/par", "/introspect", "/revoke"])
@pytest.mark.parametrize(
    "name", ["client_id", "client_assertion", "client_assertion_type", "grant_type", "token", "code", "redirect_uri"]
)
def test_a_parameter_that_comes_twice_is_refused_where_clients_authenticate(
    provider: OidcWorld, path: str, name: str
) -> None:
    rp, other = provider.relying_party(), provider.relying_party()
    pairs = {
        **dict(proof_of(rp)),
        "client_id": rp.client.client_id,
        "grant_type": "client_credentials",
        "token": "x",
        "code": "x",
        "redirect_uri": REDIRECT_URI,
    }
    second = {"client_id": other.client.client_id, "client_assertion": other.assertion()}.get(name, pairs[name])
    answer = send(rp, path, [*pairs.items(), (name, second)])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["/token", "/par", "/introspect", "/revoke"])
def test_credentials_in_an_address_are_not_read(provider: OidcWorld, path: str) -> None:
    """RFC 6749 §2.3.1: addresses are kept in logs and histories."""
    rp = provider.relying_party()
    body = [("grant_type", "client_credentials"), ("token", "x"), *asked(rp)[0]]
    refused = send(rp, path, body, query=proof_of(rp))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_parameters_in_the_address_of_a_post_are_not_mixed_with_those_of_its_body(provider: OidcWorld) -> None:
    rp, other = provider.relying_party(), provider.relying_party(redirect_uris=("https://attacker.example/",))
    smuggled = [
        ("client_id", other.client.client_id),
        ("redirect_uri", "https://attacker.example/"),
        ("state", "smuggled"),
        ("prompt", "none"),
    ]
    answer = send(rp, "/authorize", asked(rp, prompt="none")[0], query=smuggled)
    here = requests.get(f"{rp.issuer}{answer.headers['Location']}", allow_redirects=False, timeout=10)
    assert here.headers["Location"].startswith(REDIRECT_URI + "?error=login_required")
    assert "smuggled" not in here.headers["Location"]
    # Nor does an address stand in for what the body leaves out.
    answer = send(rp, "/authorize", [], query=asked(rp)[0])
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    tokens = send(rp, "/token", proof_of(rp), query=[("grant_type", "client_credentials")])
    assert tokens.json()["error"] == "invalid_request"


def test_one_client_in_the_header_and_another_in_the_body(provider: OidcWorld) -> None:
    rp, secret = with_a_secret(provider)
    victim = provider.relying_party()
    header = basic(rp.client.client_id, secret)
    for beside in ([("client_id", victim.client.client_id)], proof_of(victim), [("client_secret", secret)]):
        refused = send(rp, "/token", [GRANT, *beside], headers=header)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert send(rp, "/token", [GRANT, ("client_id", rp.client.client_id)], headers=header).status_code == 200
    for stolen in (victim.client.client_id, rp.client.client_id):
        in_body = [GRANT, ("client_id", stolen), ("client_secret", secret)]
        assert send(rp, "/token", in_body).status_code == 401


@pytest.mark.parametrize(
    "credentials",
    [
        b"Basic",
        b"Basic ",
        b"Basic :",
        b"Basic " + base64.b64encode(b"no-colon"),
        b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
        b"Basic " + base64.b64encode(b"client%00:x"),
        b"Basic " + base64.b64encode(b"client%ed%a0%80:x"),
        b"Basic " + base64.b64encode(b"x" * 300 + b":x"),
        b"Basic " + b"A" * 9000,
        "Basic é".encode(),
        b"Bearer x",
        b"DPoP x",
        b"\xff\xfe",
    ],
)
def test_an_unreadable_authorization_header_is_a_clear_refusal(provider: OidcWorld, credentials: bytes) -> None:
    rp = provider.relying_party()
    answer = send(rp, "/token", [("grant_type", "client_credentials")], headers={"Authorization": credentials})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
@pytest.mark.parametrize("path", ["/token", "/par", "/introspect", "/revoke"])
def test_a_body_of_another_kind_is_not_read_as_a_form(provider: OidcWorld, path: str, kind: str) -> None:
    rp = provider.relying_party()
    body = urlencode([*proof_of(rp), ("grant_type", "client_credentials"), ("token", "x")])
    answer = requests.post(f"{rp.issuer}{path}", data=body, headers={"Content-Type": kind}, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def with_a_secret(provider: OidcWorld) -> tuple[RelyingParty, str]:
    rp = provider.relying_party(keys=(), oauth=OAuthSettings(token_endpoint_auth_method="client_secret_basic"))
    secrets = provider.gateway.provider.client_authentication.secrets
    with provider.gateway.database.write() as session:
        made = secrets.issue_secret(session, rp.client.client_id, now=provider.clock.now())
    return rp, made.secret


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}
