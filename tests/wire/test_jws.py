import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws as independent
from joserfc.jwk import import_key

from gateway.errors import GatewayError
from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.errors import InvalidClaims, InvalidJws, InvalidSignature
from gateway.wire.jws import (
    issue_detached_jws,
    issue_jws,
    issue_jwt,
    unverified_claims,
    unverified_header,
    verify_detached_jws,
    verify_jws,
    verify_jwt,
)
from gateway.wire.keys import SIGNING_ALGORITHMS, check_signature
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import NOW

SIGNER = PrivateKeySigner.generate("ES256")
ED25519 = PrivateKeySigner.generate("Ed25519")
SECONDS = int(NOW.timestamp())
CLAIMS: dict[str, Any] = {"iss": "https://issuer.example", "aud": "us", "exp": SECONDS + 60, "iat": SECONDS}


def encoded(value: object) -> str:
    return b64url_encode(json.dumps(value).encode())


def with_header(header: Mapping[str, object], payload: str = encoded(CLAIMS)) -> str:
    """A JWS with any header, truly signed by SIGNER."""
    signing_input = f"{encoded(header)}.{payload}"
    signature = b64url_encode(SIGNER.sign(signing_input.encode()))
    return f"{signing_input}.{signature}"


def header(**changes: object) -> dict[str, object]:
    return {"alg": "ES256", "kid": SIGNER.key_id, "typ": "test+jwt", **changes}


def verified(token: str, **changes: Any) -> Mapping[str, Any]:
    arguments: dict[str, Any] = {
        "keys": [ED25519.public_jwk(), SIGNER.public_jwk()],
        "typ": "test+jwt",
        "algorithms": SIGNING_ALGORITHMS,
        "issuer": "https://issuer.example",
        "audience": "us",
        "now": NOW,
        **changes,
    }
    return verify_jwt(token, **arguments)


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_what_is_issued_verifies_here_and_with_an_independent_library(algorithm: str) -> None:
    signer = PrivateKeySigner.generate(algorithm)
    token = issue_jws(b"payload", typ="test+jwt", signer=signer, headers={"iat": 1})
    ours = verify_jws(token, keys=[signer.public_jwk()], typ="test+jwt", algorithms=[algorithm])
    assert (ours.payload, ours.key_id, ours.header["iat"]) == (b"payload", signer.key_id, 1)
    key = import_key(dict(signer.public_jwk()))
    theirs = independent.deserialize_compact(
        token, key, registry=independent.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    )
    assert theirs.payload == b"payload"


def test_the_signed_message_of_rfc_7515_appendix_a3_verifies() -> None:
    token = (
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    key = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    message, _, signature = token.rpartition(".")
    check_signature(message.encode(), b64url_decode(signature), jwk=key, algorithm="ES256")


def test_a_valid_jwt_gives_its_claims() -> None:
    assert verified(issue_jwt(CLAIMS, typ="test+jwt", signer=SIGNER)) == CLAIMS


@pytest.mark.parametrize("typ", ["test+jwt", "TEST+JWT", "application/test+jwt", "Application/Test+JWT"])
def test_typ_is_compared_as_a_media_type(typ: str) -> None:
    assert verified(with_header(header(typ=typ)))
    assert verified(with_header(header()), typ=typ)


@pytest.mark.parametrize("typ", ["at+jwt", "JWT", "", "test", None, 1, ["test+jwt"]])
def test_a_statement_of_another_kind_is_refused(typ: object) -> None:
    with pytest.raises(InvalidJws):
        verified(with_header(header(typ=typ)))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "Ed25519", "ES384", "", None, ["ES256"]])
def test_an_algorithm_that_is_not_accepted_or_not_the_keys_is_refused(algorithm: object) -> None:
    with pytest.raises(InvalidJws):
        verified(with_header(header(alg=algorithm)))


def test_an_unsigned_jwt_is_refused() -> None:
    with pytest.raises(GatewayError):
        verified(f"{encoded(header(alg='none'))}.{encoded(CLAIMS)}.")


def test_a_public_key_never_serves_as_an_hmac_secret() -> None:
    signing_input = f"{encoded(header(alg='HS256'))}.{encoded(CLAIMS)}"
    secret = json.dumps(SIGNER.public_jwk()).encode()
    tag = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    token = f"{signing_input}.{b64url_encode(tag)}"
    with pytest.raises(InvalidJws):
        verified(token, algorithms=[*SIGNING_ALGORITHMS, "HS256"])


def test_an_algorithm_the_caller_did_not_name_is_refused_though_the_key_fits() -> None:
    with pytest.raises(InvalidJws):
        verified(with_header(header()), algorithms=["Ed25519"])
    with pytest.raises(InvalidJws):
        verified(with_header(header()), algorithms=[])


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"]},
        {"jku": "https://attacker.example/jwks"},
        {"jwk": SIGNER.public_jwk()},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": []},
        {"b64": False},
    ],
)
def test_a_header_may_not_bring_point_to_or_change_anything(extra: dict[str, object]) -> None:
    with pytest.raises(InvalidJws):
        verified(with_header(header(**extra)))


@pytest.mark.parametrize("kid", ["unknown", "", None, 7])
def test_an_unknown_kid_is_refused_though_a_trusted_key_signed(kid: object) -> None:
    with pytest.raises(InvalidJws):
        verified(with_header(header(kid=kid)))


def test_an_absent_kid_is_refused_even_with_one_trusted_key() -> None:
    without = {name: value for name, value in header().items() if name != "kid"}
    with pytest.raises(InvalidJws):
        verified(with_header(without), keys=[SIGNER.public_jwk()])


def test_an_ambiguous_kid_is_refused() -> None:
    twin = {**ED25519.public_jwk(), "kid": SIGNER.key_id}
    with pytest.raises(InvalidJws):
        verified(with_header(header()), keys=[SIGNER.public_jwk(), twin])


def test_another_key_under_the_same_kid_does_not_verify() -> None:
    impostor = {**PrivateKeySigner.generate("ES256").public_jwk(), "kid": SIGNER.key_id}
    with pytest.raises(InvalidSignature):
        verified(with_header(header()), keys=[impostor])


def test_repeated_header_members_are_refused() -> None:
    raw = '{"alg":"ES256","alg":"ES256","kid":"' + SIGNER.key_id + '","typ":"test+jwt"}'
    segment = b64url_encode(raw.encode())
    signing_input = f"{segment}.{encoded(CLAIMS)}"
    signature = b64url_encode(SIGNER.sign(signing_input.encode()))
    with pytest.raises(InvalidJws):
        verified(f"{signing_input}.{signature}")


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c.d", "..", "é.é.é", "e30.e30.e30", "bnVsbA.e30.AA"])
def test_text_that_is_no_jws_is_refused(token: str) -> None:
    with pytest.raises(InvalidJws):
        verified(token)


GOOD = issue_jwt(CLAIMS, typ="test+jwt", signer=SIGNER)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(GOOD) - 1), replacement=st.characters(min_codepoint=33, max_codepoint=126))
def test_no_character_of_a_token_can_be_changed(position: int, replacement: str) -> None:
    changed = GOOD[:position] + replacement + GOOD[position + 1 :]
    if changed != GOOD:
        with pytest.raises(GatewayError):
            verified(changed)


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        ({"iss": "https://other.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "them"}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": ["them", "others"]}, "aud"),
        ({"exp": SECONDS - 5}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"exp": True}, "exp"),
        ({"nbf": SECONDS + 6}, "nbf"),
        ({"iat": SECONDS + 6}, "iat"),
        ({"iat": "now"}, "iat"),
    ],
)
def test_claims_that_do_not_hold_are_refused(claims: dict[str, object], what: str) -> None:
    with pytest.raises(InvalidClaims) as refused:
        verified(issue_jwt({**CLAIMS, **claims}, typ="test+jwt", signer=SIGNER))
    assert what in refused.value.public


def test_a_token_without_an_end_is_refused() -> None:
    with pytest.raises(InvalidClaims) as refused:
        verified(issue_jwt({"iss": CLAIMS["iss"], "aud": "us"}, typ="test+jwt", signer=SIGNER))
    assert refused.value.public == "exp is missing"


def test_an_endless_number_is_no_end() -> None:
    endless = b'{"iss":"https://issuer.example","aud":"us","exp":1e999}'
    with pytest.raises(InvalidClaims):
        verified(issue_jws(endless, typ="test+jwt", signer=SIGNER))


def test_one_audience_among_several_is_enough_and_several_may_be_accepted() -> None:
    token = issue_jwt({**CLAIMS, "aud": ["them", "us"]}, typ="test+jwt", signer=SIGNER)
    assert verified(token)
    assert verified(token, audience=["elsewhere", "them"])


def test_claims_that_are_no_object_are_refused() -> None:
    with pytest.raises(InvalidClaims):
        verified(issue_jws(b"[]", typ="test+jwt", signer=SIGNER))


def test_a_detached_signature_covers_the_payload_given() -> None:
    signature = issue_detached_jws(b"agreement", typ="agreement+jws", signer=SIGNER)
    assert ".." in signature
    trusted: dict[str, Any] = {"keys": [SIGNER.public_jwk()], "typ": "agreement+jws", "algorithms": ["ES256"]}
    assert verify_detached_jws(signature, b"agreement", **trusted).key_id == SIGNER.key_id
    with pytest.raises(InvalidSignature):
        verify_detached_jws(signature, b"agreemant", **trusted)
    attached = issue_jws(b"agreement", typ="agreement+jws", signer=SIGNER)
    with pytest.raises(InvalidJws):
        verify_detached_jws(attached, b"agreement", **trusted)
    with pytest.raises(InvalidJws):
        verify_jws(signature, **trusted)


def test_what_is_unverified_says_so_and_can_still_be_read() -> None:
    assert unverified_header(GOOD)["kid"] == SIGNER.key_id
    assert unverified_claims(GOOD)["iss"] == CLAIMS["iss"]
    with pytest.raises(InvalidJws):
        unverified_claims("e30.!.e30")
