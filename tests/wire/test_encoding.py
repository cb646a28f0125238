import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.canonical import canonical_json, digest_b64
from gateway.wire.encoding import (
    b64_decode,
    b64_encode,
    b64url_decode,
    b64url_encode,
    parse_json,
    parse_json_object,
)
from gateway.wire.errors import MalformedInput


@given(st.binary(max_size=64))
def test_bytes_survive_both_alphabets(data: bytes) -> None:
    assert b64url_decode(b64url_encode(data)) == data
    assert b64_decode(b64_encode(data)) == data


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "A+", "A A", "AA\n", "é", "AAAA====", "-_-"])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(MalformedInput):
        b64url_decode(text)


@pytest.mark.parametrize("text", ["AA", "AB==", "A-==", "AA==\n", "AA=A", "é"])
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(MalformedInput):
        b64_decode(text)


@pytest.mark.parametrize(
    "text", ['{"a":1,"a":2}', '[{"b":{"c":1,"c":1}}]', "NaN", "-Infinity", "", "{", b"\xff", "[" * 100_000]
)
def test_json_that_two_readers_could_read_differently_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_json(text)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"{}"'])
def test_an_object_was_asked_for(text: str) -> None:
    with pytest.raises(MalformedInput):
        parse_json_object(text)


def test_canonical_json_is_the_one_of_rfc_8785() -> None:
    # RFC 8785 §3.2.2 and §3.2.3, the parts that distinguish implementations: numbers, escapes, UTF-16 order.
    numbers = [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001]
    assert canonical_json({"numbers": numbers}) == b'{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}'
    assert canonical_json({"€": 1, "\r": 2, "1": 3, "😂": 4, "ö": 5}) == '{"\\r":2,"1":3,"ö":5,"€":1,"😂":4}'.encode()


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": 2**53}, {1: "a"}, {"a": b"bytes"}, {"a": {1, 2}}])
def test_what_json_cannot_hold_has_no_canonical_form(value: object) -> None:
    with pytest.raises(MalformedInput):
        canonical_json(value)


def test_digests_are_base64url_sha256() -> None:
    assert digest_b64(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
