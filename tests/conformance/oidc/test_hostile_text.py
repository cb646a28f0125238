"""RFC 8725 §2.9, RFC 7493 and RFC 6749 appendix A: NUL, half characters, numbers and sizes beyond any use.

Each is a clear refusal or has no effect; none is a fault of ours, on whichever database.
"""

import json
import secrets
import socket
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests

from gateway.wire.encoding import b64url_encode
from tests.kit.dpop import DPoPKey
from tests.kit.oidc_world import Answer, OidcWorld, RelyingParty
from tests.kit.pushing import by_value, push, request_claims

NOT_TEXT = {"NUL": "\\u0000", "half a character": "\\ud800", "the other half": "\\udc00", "a line break": "\\n"}
CLAIMS = {
    **{f"{name} as a value": f'{{"id_token":{{"x":{{"value":"{text}"}}}}}}' for name, text in NOT_TEXT.items()},
    **{f"{name} among values": f'{{"id_token":{{"acr":{{"values":["{text}"]}}}}}}' for name, text in NOT_TEXT.items()},
    **{f"{name} in a name": f'{{"userinfo":{{"{text}":null}}}}' for name, text in NOT_TEXT.items()},
    **{f"{name} for a sub": f'{{"id_token":{{"sub":{{"value":"{text}"}}}}}}' for name, text in NOT_TEXT.items()},
    "NUL deep inside": '{"id_token":{"x":{"value":[[{"a":["\\u0000"]}]]}}}',
    "beyond any number": '{"id_token":{"x":{"value":1e999}}}',
    "not a number": '{"id_token":{"x":{"value":NaN}}}',
    "an endless number": '{"id_token":{"x":{"value":' + "9" * 5000 + "}}}",
    "nested without end": '{"id_token":{"x":{"value":' + "[" * 3000 + "]" * 3000 + "}}}",
    "a member twice": '{"id_token":{},"id_token":{}}',
    "a member twice by escape": '{"id_token":{},"id\\u005ftoken":{}}',
    "too many": json.dumps({"id_token": {f"c{number}": None for number in range(101)}}),
    "a list": "[]",
    "text": '"x"',
    "nothing": "null",
}


def told(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 303, answer.text
    return Answer(address=answer.headers["Location"]).parameters


@pytest.fixture
def rp(provider: OidcWorld) -> RelyingParty:
    return provider.relying_party()


@pytest.mark.parametrize("bomb", CLAIMS)
def test_a_claims_parameter_that_nobody_can_keep_is_refused(provider: OidcWorld, rp: RelyingParty, bomb: str) -> None:
    answer = told(provider.signed_in(provider.officer()).get(rp.request(claims=CLAIMS[bomb])[0]))
    assert (answer["error"], "code" in answer) == ("invalid_request", False)


def test_claims_nested_as_deep_as_can_be_read_are_kept(provider: OidcWorld, rp: RelyingParty) -> None:
    browser = provider.signed_in(provider.officer())
    for nested in (
        '{"id_token":{"x":{"value":' + "[" * 300 + "]" * 300 + "}}}",
        '{"id_token":' * 300 + "{}" + "}" * 300,
    ):
        code, verifier = rp.code(browser, claims=nested)
        assert rp.redeem(code, verifier).status_code == 200


PARAMETERS = {
    "max_age beyond any time": {"max_age": "9" * 40},
    "max_age in other digits": {"max_age": "\u0661\u0662"},
    "max_age below nothing": {"max_age": "-1"},
    "max_age with an exponent": {"max_age": "1e9"},
    "scope with a line separator": {"scope": "openid\u2028email"},
    "scope with quotes": {"scope": 'openid "x"'},
    "state and nonce without end": {"state": "x" * 1500, "nonce": "x" * 1500},
    "prompt in other letters": {"prompt": "none\u00a0login"},
}


@pytest.mark.any_database
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_that_is_not_what_it_should_be(provider: OidcWorld, rp: RelyingParty, name: str) -> None:
    answer = told(provider.signed_in(provider.officer()).get(rp.request(**PARAMETERS[name])[0]))
    assert answer["error"] in {"invalid_request", "invalid_scope"}


@pytest.mark.any_database
@pytest.mark.parametrize("raw", ["%00", "%0d%0a", "%ff", "%c0%80", "%ed%a0%80", "%f8%88%80%80%80", "%u0000"])
@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "login_hint", "unknown"])
def test_bytes_that_are_no_text(provider: OidcWorld, rp: RelyingParty, name: str, raw: str) -> None:
    """What an encoding cannot hold is replaced or refused, and nothing it hides reaches an answer's address."""
    address = rp.request(**({name: None} if name in {"client_id", "redirect_uri", "state"} else {}))[0]
    answer = provider.signed_in(provider.officer()).get(f"{address}&{name}={raw}x")
    assert answer.status_code in {303, 400}
    assert "\r" not in answer.headers.get("Location", "")
    if name in {"client_id", "redirect_uri"} or raw in {"%00", "%0d%0a"}:
        assert (answer.status_code, "Location" in answer.headers) == (400, False)


@pytest.mark.parametrize("cookie", [b"\xff\xfe", b"\xed\xa0\x80", b"x" * 3000, b'"\\000"', b"a; =b; ;;"])
def test_a_cookie_that_is_no_text_is_nobodys(provider: OidcWorld, rp: RelyingParty, cookie: bytes) -> None:
    name = provider.gateway.people.cookie.name.encode()
    answer = requests.get(
        rp.request(prompt="none")[0], headers={"Cookie": name + b"=" + cookie}, allow_redirects=False, timeout=10
    )
    assert told(answer)["error"] == "login_required"


def jwt(rp: RelyingParty, header: dict[str, object], claims: dict[str, object], raw: str) -> str:
    """A JWT by the client's key; `raw` is one more member, as JSON."""
    name = raw.partition(":")[0].strip('"')
    kept = {key: value for key, value in claims.items() if key != name}
    payload = json.dumps(kept)[:-1] + f", {raw}}}"
    message = f"{b64url_encode(json.dumps(header).encode())}.{b64url_encode(payload.encode())}"
    return f"{message}.{b64url_encode(rp.signer.sign(message.encode()))}"


def assertion(rp: RelyingParty, raw: str, **header: object) -> str:
    now = int(rp.clock.now().timestamp())
    claims: dict[str, object] = {
        "iss": rp.client.client_id,
        "sub": rp.client.client_id,
        "aud": rp.issuer,
        "jti": secrets.token_hex(8),
        "iat": now,
        "exp": now + 60,
    }
    return jwt(rp, {"alg": "ES256", "kid": rp.signer.key_id, "typ": "JWT"} | header, claims, raw)


@pytest.mark.parametrize(
    "raw",
    [
        '"iat":1e999',
        '"exp":1e999',
        '"exp":-1e999',
        '"nbf":1e400',
        '"exp":NaN',
        '"exp":true',
        '"exp":[]',
        '"aud":[[]]',
        '"aud":[{}]',
        '"aud":{"a":1}',
        '"aud":[null]',
        '"aud":7',
        '"sub":{}',
        '"sub":"\\u0000"',
        '"sub":"\\ud800"',
        '"iss":[]',
        '"jti":{}',
        '"jti":"a","jti":"b"',
        '"x":' + "[" * 1500 + "]" * 1500,
    ],
)
def test_a_client_assertion_with_impossible_values(rp: RelyingParty, raw: str) -> None:
    answer = rp.ask(grant_type="client_credentials", assertion=assertion(rp, raw))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("kid", ["\x00", "\ud800", "x" * 3000, "../../keys/tokens/1.pem", "", None, 7, [], {}])
def test_a_kid_that_is_no_name(rp: RelyingParty, kid: object) -> None:
    answer = rp.ask(grant_type="client_credentials", assertion=assertion(rp, '"x":1', kid=kid))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\uffff", "\\u202e"])
def test_a_jti_of_any_characters_is_used_once(rp: RelyingParty, text: str) -> None:
    once = assertion(rp, f'"jti":"{text}{secrets.token_hex(8)}"')
    answers = [rp.ask(grant_type="client_credentials", assertion=once).status_code for _ in range(2)]
    assert answers == [200, 401]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ('"state":"\\ud800"', "invalid_request_object"),
        ('"state":"\\u0000"', "invalid_request_object"),
        ('"\\u0000":"x"', "invalid_request_object"),
        ('"aud":[[]]', "invalid_request_object"),
        ('"exp":1e999', "invalid_request_object"),
        ('"claims":{"id_token":{"x":{"value":"\\u0000"}}}', "invalid_request"),
        ('"claims":{"id_token":{"x":{"value":1e999}}}', "invalid_request_object"),
        ('"max_age":99999999999', "invalid_request"),
        ('"max_age":-1', "invalid_request"),
        ('"prompt":["none"]', "invalid_request"),
        ('"scope":{"openid":true}', "invalid_scope"),
    ],
)
def test_a_request_object_with_impossible_values(provider: OidcWorld, rp: RelyingParty, raw: str, error: str) -> None:
    claims, _ = request_claims(rp)
    header: dict[str, object] = {"alg": "ES256", "kid": rp.signer.key_id, "typ": "oauth-authz-req+jwt"}
    request = jwt(rp, header, claims, raw)
    browser = provider.signed_in(provider.officer())
    assert told(browser.get(by_value(rp, request, redirect_uri=rp.client.redirect_uris[0])))["error"] == error
    pushed = push(rp, [("request", request)])
    assert (pushed.status_code, pushed.json()["error"]) == (400, error)


def wide_key(bits: int, exponent: str) -> Callable[[DPoPKey, str], str]:
    def make(key: DPoPKey, address: str) -> str:
        modulus = b64url_encode(((1 << bits) - 1).to_bytes(bits // 8, "big"))
        jwk = {"kty": "RSA", "n": modulus, "e": exponent}
        message = key.proof("POST", address, header={"alg": "PS256", "jwk": jwk}).rpartition(".")[0]
        return f"{message}.{b64url_encode(bytes(bits // 8))}"

    return make


PROOFS: dict[str, Callable[[DPoPKey, str], str]] = {
    "an RSA key of 512 bits": wide_key(512, "AQAB"),
    "an RSA key of 16,384 bits": wide_key(16384, "AQAB"),
    "an RSA key of 65,536 bits": wide_key(65536, "AQAB"),
    "an exponent as wide as its modulus": wide_key(8192, b64url_encode(bytes([255]) * 1024)),
    "an exponent of nothing": wide_key(2048, "AA"),
    "a point off its curve": lambda key, address: key.proof("POST", address, header={"jwk": {**key.jwk, "y": "AA"}}),
    "a jwk nested without end": lambda key, address: key.proof(
        "POST", address, header={"jwk": {"kty": "EC", "x": json.loads("[" * 500 + "]" * 500)}}
    ),
    "iat beyond any number": lambda key, address: key.proof("POST", address, iat=float("inf")),
    "htu with half a character": lambda key, address: key.proof("POST", address, htu="\ud800"),
    "htu on an impossible port": lambda key, address: key.proof("POST", address, htu="http://localhost:99999999/"),
    "htm with NUL": lambda key, address: key.proof("POST", address, htm="POST\x00"),
}


@pytest.mark.any_database
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # of 512 bits, before we refuse them
@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_with_an_impossible_key_or_value(provider: OidcWorld, rp: RelyingParty, name: str) -> None:
    proof = PROOFS[name](DPoPKey(clock=provider.clock), f"{rp.issuer}/token")
    answer = rp.ask(grant_type="client_credentials", headers={"DPoP": proof})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("path", ["%00", "%ed%a0%80", "%c0%ae%c0%ae", "x" * 3000, "%E2%80%AE", "' OR '1'='1"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_registration_of_nobody(provider: OidcWorld, path: str, method: str) -> None:
    headers = {"Authorization": "Bearer guess", "Content-Type": "application/json"}
    answer = requests.request(method, f"{provider.issuer}/register/{path}", headers=headers, data="{}", timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


TOKENS = [b"\xff\xfe.x.y", "\u00e9.\u00e9.\u00e9".encode(), b"x" * 7000, b"." * 500, b"e30.e30.e30", b"\x01"]


@pytest.mark.any_database
@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("scheme", [b"Bearer ", b"DPoP "])
@pytest.mark.parametrize(("method", "path"), [("GET", "/userinfo"), ("POST", "/sharing/v1/exchanges")])
def test_a_token_that_is_no_text(provider: OidcWorld, token: bytes, scheme: bytes, method: str, path: str) -> None:
    parts = urlsplit(provider.issuer)
    request = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 0\r\nConnection: close\r\n".encode()
    with closing(socket.create_connection((parts.hostname, parts.port or 80), timeout=10)) as connection:
        connection.sendall(request + b"Authorization: " + scheme + token + b"\r\n\r\n")
        assert b" 401 " in connection.recv(100)


@pytest.mark.any_database
@pytest.mark.parametrize("path", ["/token", "/par", "/introspect", "/revoke", "/authorize", "/logout", "/sign-in"])
def test_a_request_without_end(provider: OidcWorld, path: str) -> None:
    address = provider.issuer + path
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert requests.post(address, data=b"a" * 200_000, headers=form, timeout=10).status_code == 413
    many = "&".join(f"p{number}=x" for number in range(2000))
    assert requests.post(address, data=many, headers=form, timeout=10).status_code == 400
    long_value = requests.post(address, data="state=" + "x" * 9000, headers=form, timeout=10)
    assert long_value.status_code == 400
