"""The examples of RFC 9421 §2.4 and appendix B: our signature bases are theirs, and their signatures verify."""

import pytest

from gateway.wire.encoding import b64_decode
from gateway.wire.keys import check_signature
from gateway.wire.message_signatures import HttpRequest, HttpResponse, check_content_digest
from gateway.wire.signature_base import parse_signature_fields, signature_base

# B.1.3 and B.1.4.
ECC_P256 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
    "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
}
ED25519 = {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}

REQUEST_DIGEST = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
RESPONSE_DIGEST = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"
BUSY_DIGEST = "sha-512=:0Y6iCBzGg5rZtoXS95Ijz03mslf6KAMCloESHObfwnHJDbkkWWQz6PhhU9kxsTbARtY2PTBOzq24uJFpHsMuAg==:"

SIGNATURE_B_2_4 = "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=="
SIGNATURE_B_2_6 = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="

REQUEST = HttpRequest(
    method="POST",
    target_uri="https://example.com/foo?param=Value&Pet=dog",
    headers={
        "Host": "example.com",
        "Date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "Content-Type": "application/json",
        "Content-Digest": REQUEST_DIGEST,
        "Content-Length": "18",
    },
    body=b'{"hello": "world"}',
)
RESPONSE = HttpResponse(
    status=200,
    headers={
        "Date": "Tue, 20 Apr 2021 02:07:56 GMT",
        "Content-Type": "application/json",
        "Content-Digest": RESPONSE_DIGEST,
        "Content-Length": "23",
    },
    body=b'{"message": "good dog"}',
)


@pytest.mark.parametrize("message", [REQUEST, RESPONSE])
def test_their_sha_512_digests_hold(message: HttpRequest | HttpResponse) -> None:
    check_content_digest(message.headers, message.body)


def test_b_2_3_the_full_coverage_base() -> None:
    parameters = (
        '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-rsa-pss"'
    )
    # The label is not signed, so the example's own may be replaced by ours.
    message = REQUEST.with_headers({"Signature-Input": f"gw={parameters}", "Signature": "gw=:AAAA:"})
    fields = parse_signature_fields(message.headers)
    assert fields.serialized == parameters
    assert signature_base(fields.covered, fields.serialized, message).decode() == "\n".join(
        (
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@query": ?param=Value&Pet=dog',
            '"@authority": example.com',
            '"content-type": application/json',
            f'"content-digest": {REQUEST_DIGEST}',
            '"content-length": 18',
            f'"@signature-params": {parameters}',
        )
    )


def test_b_2_4_a_response_signed_with_ecdsa_p256() -> None:
    parameters = (
        '("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"'
    )
    message = RESPONSE.with_headers(
        {
            "Signature-Input": f"gw={parameters}",
            "Signature": f"gw=:{SIGNATURE_B_2_4}:",
        }
    )
    fields = parse_signature_fields(message.headers)
    base = signature_base(fields.covered, fields.serialized, message)
    check_signature(base, fields.signature, jwk=ECC_P256, algorithm="ES256")


def test_b_2_6_a_request_signed_with_ed25519() -> None:
    parameters = (
        '("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"'
    )
    message = REQUEST.with_headers(
        {
            "Signature-Input": f"gw={parameters}",
            "Signature": f"gw=:{SIGNATURE_B_2_6}:",
        }
    )
    fields = parse_signature_fields(message.headers)
    base = signature_base(fields.covered, fields.serialized, message)
    check_signature(base, fields.signature, jwk=ED25519, algorithm="Ed25519")


def test_section_2_4_a_response_bound_to_its_request() -> None:
    response = HttpResponse(status=503, headers={"Content-Type": "application/json", "Content-Digest": BUSY_DIGEST})
    covered = (
        "@status",
        "content-digest",
        "content-type",
        "@authority;req",
        "@method;req",
        "@path;req",
        "content-digest;req",
    )
    parameters = (
        '("@status" "content-digest" "content-type" "@authority";req "@method";req "@path";req "content-digest";req)'
        ';created=1618884479;keyid="test-key-ecc-p256"'
    )
    signature = b64_decode("dMT/A/76ehrdBTD/2Xx8QuKV6FoyzEP/I9hdzKN8LQJLNgzU4W767HK05rx1i8meNQQgQPgQp8wq2ive3tV5Ag==")
    base = signature_base(covered, parameters, response, REQUEST)
    check_signature(base, signature, jwk=ECC_P256, algorithm="ES256")


@pytest.mark.parametrize(
    ("target_uri", "authority", "path", "query"),
    [
        ("https://www.example.com:443/a%2Fb?x=%41", "www.example.com", "/a%2Fb", "?x=%41"),
        ("HTTP://EXAMPLE.com:80", "example.com", "/", "?"),
        ("http://localhost:8000/x?", "localhost:8000", "/x", "?"),
        ("https://[2001:db8::1]:8443/x#y", "[2001:db8::1]:8443", "/x", "?"),
        ("https://example.com:80/x?a?b", "example.com:80", "/x", "?a?b"),
    ],
)
def test_section_2_2_derived_components(target_uri: str, authority: str, path: str, query: str) -> None:
    request = HttpRequest(method="GET", target_uri=target_uri)
    base = signature_base(("@authority", "@path", "@query", "@target-uri"), "()", request).decode()
    assert base == (
        f'"@authority": {authority}\n"@path": {path}\n"@query": {query}\n"@target-uri": {target_uri}\n'
        '"@signature-params": ()'
    )
