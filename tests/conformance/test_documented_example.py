"""The worked example of docs/wire-protocol.md, as a reader would check it: by our own code and without any of it.

The second half of each check uses what a consumer's developer has: hashlib, a cryptography library, an RFC 9421
library, an SD-JWT library. The last tests hold the example against a running gateway.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import http_message_signatures
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jwt
from joserfc.jwk import import_key
from sd_jwt.verifier import JWK, SDJWTVerifier

from gateway.errors import GatewayError
from gateway.sdk.cli import main as sdk
from gateway.wire.contracts import EXCHANGE_TAG, PROVIDER_TAG, RECORD_TYP
from gateway.wire.keys import Jwk
from gateway.wire.message_signatures import HttpRequest, HttpResponse, verify_request, verify_response
from gateway.wire.receipts import verify_receipt
from gateway.wire.sd_jwt import verify_sd_jwt
from scripts.make_wire_example import DOCUMENT, EXAMPLES, example, quoting
from tests.kit.log import assert_log_verifies
from tests.kit.world import World

NOW = datetime(2026, 11, 23, 9, 30, 20, tzinfo=UTC)

REQUESTS = ("request", "refused-request")
ANSWERS = (("request", "answer"), ("refused-request", "refusal"))


def text(name: str) -> str:
    return (EXAMPLES / name).read_text(encoding="utf-8")


def keys(name: str) -> list[Jwk]:
    found: list[Jwk] = json.loads(text(f"{name}-jwks.json"))["keys"]
    return found


def message(name: str) -> tuple[str, dict[str, str], bytes]:
    head, _, rest = (EXAMPLES / name).read_bytes().partition(b"\n\n")
    first, *lines = head.decode().split("\n")
    fields = dict(line.split(": ", 1) for line in lines)
    body, after = rest[: int(fields["Content-Length"])], rest[int(fields["Content-Length"]) :]
    assert after == b"\n"
    return first, fields, body


def request(name: str) -> HttpRequest:
    first, fields, body = message(f"{name}.http")
    method, target, _version = first.split(" ")
    return HttpRequest(method=method, target_uri=f"https://{fields['Host']}{target}", headers=fields, body=body)


def response(name: str) -> HttpResponse:
    first, fields, body = message(f"{name}.http")
    return HttpResponse(status=int(first.split(" ")[1]), headers=fields, body=body)


def one_of(known: Sequence[Jwk], kid: str) -> Any:
    (found,) = [key for key in known if key["kid"] == kid]
    return import_key(dict(found)).public_key


def check_raw_signature(base: bytes, signature: str, key: ec.EllipticCurvePublicKey) -> None:
    raw = base64.b64decode(signature.removeprefix("gw=:").removesuffix(":"))
    assert len(raw) == 64
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key.verify(encode_dss_signature(r, s), base, ec.ECDSA(hashes.SHA256()))


def by_an_independent_library(signed: Any, *, known: Sequence[Jwk], tag: str, body: bytes) -> None:
    class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> Any:
            return one_of(known, key_id.rpartition("#")[2])

    class Verifier(http_message_signatures.HTTPMessageVerifier):
        def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
            """The example's time stands still."""

    algorithm = http_message_signatures.algorithms.ECDSA_P256_SHA256
    verifier = Verifier(signature_algorithm=algorithm, key_resolver=Resolver())
    (result,) = verifier.verify(signed, expect_tag=tag, body=body)
    assert result.label == "gw"


# --- The document


def test_the_files_and_the_document_are_what_the_code_writes() -> None:
    files = example()
    # Those of docs/relying-parties.md have tests of their own.
    found = {
        path for path in EXAMPLES.rglob("*") if path.is_file() and EXAMPLES / "relying-parties" not in path.parents
    }
    assert found == {EXAMPLES / name for name in files} | {EXAMPLES / "README.md"}
    for name, content in files.items():
        assert (EXAMPLES / name).read_bytes() == content, name
    document = DOCUMENT.read_text(encoding="utf-8")
    assert quoting(files)(document) == document


def test_the_document_quotes_its_files_to_the_letter() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    quoted = re.findall(r"<!-- examples/(\S+) -->\n\n```\w*\n(.*?)\n```\n", document, re.DOTALL)
    assert len(quoted) == document.count("<!-- examples/")
    assert {"request.http", "answer.http", "refusal.http", "receipt.json", "proof.json", "log/checkpoint"} <= {
        name for name, _ in quoted
    }
    for name, block in quoted:
        assert f"{block}\n" == text(name), name


# --- Requests and answers


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_verifies(name: str) -> None:
    asked = request(name)

    def keys_of(client_id: str, kid: str) -> Jwk | None:
        assert client_id == "blackburn-portal"
        return next((key for key in keys("portal") if key["kid"] == kid), None)

    verified = verify_request(asked, keys_of=keys_of, tag=EXCHANGE_TAG, now=NOW)
    assert verified.covered == ("@method", "@target-uri", "content-digest", "authorization", "idempotency-key")

    digest = base64.b64encode(hashlib.sha256(asked.body).digest()).decode()
    assert asked.headers["Content-Digest"] == f"sha-256=:{digest}:"
    signed = SimpleNamespace(method="POST", url=asked.target_uri, headers=dict(asked.headers))
    by_an_independent_library(signed, known=keys("portal"), tag=EXCHANGE_TAG, body=asked.body)

    stolen = HttpRequest(
        method=asked.method,
        target_uri=asked.target_uri,
        headers={**asked.headers, "Authorization": "Bearer another"},
        body=asked.body,
    )
    with pytest.raises(GatewayError):
        verify_request(stolen, keys_of=keys_of, tag=EXCHANGE_TAG, now=NOW)


@pytest.mark.parametrize(("asked", "answered"), ANSWERS)
def test_each_answer_verifies_and_belongs_to_its_request_alone(asked: str, answered: str) -> None:
    answer, question = response(answered), request(asked)
    verified = verify_response(answer, request=question, keys=keys("gateway"), tag=EXCHANGE_TAG, now=NOW)
    assert verified.binding == "request"
    signed = SimpleNamespace(
        status_code=answer.status,
        headers=dict(answer.headers),
        request=SimpleNamespace(method="POST", url=question.target_uri, headers=dict(question.headers)),
    )
    by_an_independent_library(signed, known=keys("gateway"), tag=EXCHANGE_TAG, body=answer.body)

    (other,) = set(REQUESTS) - {asked}
    with pytest.raises(GatewayError):
        verify_response(answer, request=request(other), keys=keys("gateway"), tag=EXCHANGE_TAG, now=NOW)


@pytest.mark.parametrize(("name", "signer"), [("request", "portal"), ("answer", "gateway")])
def test_the_signature_bases_shown_are_the_bytes_that_were_signed(name: str, signer: str) -> None:
    _, fields, _ = message(f"{name}.http")
    base = (EXAMPLES / f"{name}.signature-base.txt").read_bytes().removesuffix(b"\n")
    kid = re.search(r'keyid="(?:[^"#]*#)?([^"]+)"', fields["Signature-Input"])
    assert kid is not None
    key = one_of(keys(signer), kid[1])
    check_raw_signature(base, fields["Signature"], key)
    with pytest.raises(InvalidSignature):
        check_raw_signature(base.replace(b"POST", b"PUT"), fields["Signature"], key)


def test_the_departments_side_verifies() -> None:
    question, answer = request("question"), response("provider-answer")

    def keys_of(client_id: str, kid: str) -> Jwk | None:
        assert client_id == "https://gateway.example"
        return next((key for key in keys("gateway") if key["kid"] == kid), None)

    verify_request(question, keys_of=keys_of, tag=PROVIDER_TAG, now=NOW)
    verify_response(answer, request=question, keys=keys("dwp"), tag=PROVIDER_TAG, now=NOW)
    signed = SimpleNamespace(method="POST", url=question.target_uri, headers=dict(question.headers))
    by_an_independent_library(signed, known=keys("gateway"), tag=PROVIDER_TAG, body=question.body)


# --- Tokens


def test_the_sign_in_fits_together() -> None:
    asked = parse_qs(urlsplit(text("authorize.txt").strip()).query)
    form = parse_qs(request("token-request").body.decode())
    challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest()).rstrip(b"=")
    assert asked["code_challenge"] == [challenge.decode()]
    assert asked["redirect_uri"] == form["redirect_uri"]

    (portal,), (tokens,) = keys("portal"), keys("token")
    assertion = jwt.decode(form["client_assertion"][0], import_key(dict(portal)), algorithms=["ES256"])
    assert (assertion.claims["iss"], assertion.claims["aud"]) == ("blackburn-portal", "https://gateway.example")
    token = jwt.decode(text("access-token.jwt").strip(), import_key(dict(tokens)), algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    assert token.claims == json.loads(text("access-token.json"))
    for name in REQUESTS:
        assert request(name).headers["Authorization"] == f"Bearer {text('access-token.jwt').strip()}"


# --- Record and receipt


def test_the_record_verifies_after_the_gateway_dropped_a_field() -> None:
    sent = json.loads(response("provider-answer").body)["record"]
    kept = json.loads(response("answer").body)["record"]
    receipt = json.loads(text("receipt.json"))
    verified = verify_sd_jwt(
        kept,
        keys=keys("dwp"),
        typ=RECORD_TYP,
        algorithms=("ES256",),
        issuer="dwp",
        audience="E06000008",
        now=NOW,
    )
    assert verified.fields == {"eligible": True, "tier": "targeted"}
    assert (verified.claims["jti"], verified.claims["sub"]) == (receipt["exchange"], receipt["handle"])

    (department,) = keys("dwp")
    key = JWK.from_json(json.dumps(department))
    payload = SDJWTVerifier(kept, lambda _issuer, _header: key).get_verified_payload()
    assert {name: payload[name] for name in ("eligible", "tier")} == {"eligible": True, "tier": "targeted"}
    assert "award_amount" not in payload

    # Same signed part, one disclosure less; each disclosure hashes to a digest that the department signed.
    assert sent.split("~")[:3] == kept.split("~")[:3]
    assert len(sent.split("~")) == len(kept.split("~")) + 1
    signed = json.loads(text("provider-claims.json"))
    for disclosure in kept.split("~")[1:-1]:
        assert b64url(hashlib.sha256(disclosure.encode()).digest()) in signed["_sd"]
    assert receipt["provider_jwt_digest"] == b64url(hashlib.sha256(kept.split("~")[0].encode()).digest())
    assert receipt["fields_withheld"] == ["award_amount"]


@pytest.mark.parametrize(("asked", "answered"), ANSWERS)
def test_each_receipt_verifies_and_names_its_request(asked: str, answered: str) -> None:
    body = json.loads(response(answered).body)
    receipt = verify_receipt(body["receipt"], keys=keys("gateway"))
    assert receipt.exchange == body["exchange"]
    (gateway,) = keys("gateway")
    decoded = jwt.decode(body["receipt"], import_key(dict(gateway)), algorithms=["ES256"])
    assert decoded.header["typ"] == "gateway-receipt+jwt"
    assert decoded.claims["request_digest"] == b64url(hashlib.sha256(request(asked).body).digest())
    if answered == "answer":
        assert decoded.claims == json.loads(text("receipt.json"))


# --- The log


def test_the_log_verifies_from_its_files() -> None:
    vkey = json.loads(text("public-keys.json"))["log_vkey"]
    leaves = assert_log_verifies(EXAMPLES / "log", vkey)
    assert [leaf.outcome for leaf in leaves] == ["done", "disclosed", "refused"]

    # And by hand: RFC 9162's tree of three, signed-note's key id, Ed25519.
    bundle, entries = (EXAMPLES / "log/tile/entries/000.p/3").read_bytes(), []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    first, second, third = (hashlib.sha256(b"\x00" + item).digest() for item in entries)
    root = node(node(first, second), third)
    body, _, signature_line = text("log/checkpoint").partition("\n\n")
    assert body.split("\n") == ["gateway.example/log", "3", base64.b64encode(root).decode()]
    name, key_id, key = vkey.split("+", 2)
    typed = base64.b64decode(key)
    assert hashlib.sha256(name.encode() + b"\n" + typed).digest()[:4].hex() == key_id
    blob = base64.b64decode(signature_line.split(" ")[2])
    assert blob[:4].hex() == key_id
    ed25519.Ed25519PublicKey.from_public_bytes(typed[1:]).verify(blob[4:], f"{body}\n".encode())


@pytest.mark.parametrize(("proof", "outcome"), [("proof", "disclosed"), ("refused-proof", "refused")])
def test_the_proof_files_settle_their_exchanges(
    proof: str, outcome: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--keys", str(EXAMPLES / "public-keys.json")]
    assert sdk(["verify", str(EXAMPLES / f"{proof}.json"), *arguments]) == 0
    assert f"outcome {outcome}" in capsys.readouterr().out

    members = json.loads(text(f"{proof}.json"))
    climbed = hashlib.sha256(b"\x00" + base64.b64decode(members["leaf"])).digest()
    siblings = [base64.b64decode(item) for item in members["inclusion_proof"]]
    if members["leaf_index"] == 1:
        climbed = node(node(siblings[0], climbed), siblings[1])
    else:
        climbed = node(siblings[0], climbed)
    assert base64.b64encode(climbed).decode() == members["checkpoint"].split("\n")[2]

    forged = tmp_path / "forged.json"
    members["leaf_index"] = 0
    forged.write_text(json.dumps(members), encoding="utf-8")
    assert sdk(["verify", str(forged), *arguments]) == 1


# --- What a running gateway says has the shape of the example


@pytest.mark.parametrize(
    ("fields", "answered", "outcome"),
    [(["eligible", "tier"], "answer", "disclosed"), (["eligible", "award_amount"], "refusal", "refused")],
)
def test_a_running_gateway_answers_as_the_example_does(
    world: World, fields: list[str], answered: str, outcome: str
) -> None:
    asking = world.asking()
    answer = world.send(world.signed(world.body(asking, fields=fields)))
    shown = response(answered)
    assert answer.status == shown.status
    assert covered(answer.headers) == covered(shown.headers)
    body, shown_body = json.loads(answer.body), json.loads(shown.body)
    assert list(body) == list(shown_body)
    told, shown_receipt = (claims(item["receipt"]) for item in (body, shown_body))
    assert list(told) == list(shown_receipt)
    assert told["outcome"] == outcome
    leaves = world.assert_log_verifies()
    assert any(leaf.reference == body["exchange"] and leaf.outcome == outcome for leaf in leaves)


def test_the_department_is_asked_as_the_example_shows(world: World) -> None:
    answer = world.send(world.signed(world.body(world.asking())))
    asked = world.asked_of_department(json.loads(answer.body)["exchange"])
    assert asked is not None
    assert list(asked) == list(json.loads(request("question").body))


def test_access_tokens_and_metadata_have_the_members_shown(world: World) -> None:
    import requests  # noqa: PLC0415 - nothing else here speaks to the network

    assert set(claims(world.officer_token())) == set(json.loads(text("access-token.json")))
    metadata = requests.get(f"{world.issuer}/.well-known/gateway-configuration", timeout=10).json()
    assert metadata.keys() == json.loads(text("gateway-configuration.json")).keys()


def claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def covered(headers: Mapping[str, str]) -> str:
    found = re.match(r"gw=\([^)]*\)", headers["Signature-Input"])
    assert found is not None
    return found[0]


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
