import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey

from gateway.wire.errors import InvalidSignature, UnusableKey
from gateway.wire.keys import SIGNING_ALGORITHMS, check_signature, thumbprint
from gateway.wire.signer import PrivateKey, PrivateKeySigner


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_a_key_survives_its_pem_and_signs_what_its_public_jwk_verifies(algorithm: str) -> None:
    made = PrivateKeySigner.generate(algorithm)
    loaded = PrivateKeySigner.from_pem(made.private_pem())
    assert loaded.public_jwk() == made.public_jwk()
    check_signature(b"message", loaded.sign(b"message"), jwk=made.public_jwk(), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_the_public_jwk_holds_nothing_private_and_is_named_by_its_thumbprint(algorithm: str) -> None:
    jwk = PrivateKeySigner.generate(algorithm).public_jwk()
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(jwk)
    assert jwk["kid"] == thumbprint(jwk)
    assert (jwk["alg"], jwk["use"]) == (algorithm, "sig")


def test_the_thumbprint_is_the_one_of_rfc_7638() -> None:
    # RFC 7638 §3.1.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhM"
        "stn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
        "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_es256_signatures_are_always_sixty_four_raw_bytes() -> None:
    signer = PrivateKeySigner.generate("ES256")
    # About one r or s in 128 begins with a zero byte, so 200 signatures nearly always meet one.
    assert {len(signer.sign(bytes([number]))) for number in range(200)} == {64}


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_a_changed_message_or_another_key_does_not_verify(algorithm: str) -> None:
    signer, other = PrivateKeySigner.generate(algorithm), PrivateKeySigner.generate(algorithm)
    signature = signer.sign(b"message")
    with pytest.raises(InvalidSignature):
        check_signature(b"massage", signature, jwk=signer.public_jwk(), algorithm=algorithm)
    with pytest.raises(InvalidSignature):
        check_signature(b"message", signature, jwk=other.public_jwk(), algorithm=algorithm)


def test_a_signature_under_another_algorithm_than_the_keys_is_refused() -> None:
    signer = PrivateKeySigner.generate("ES256")
    with pytest.raises(UnusableKey):
        check_signature(b"m", signer.sign(b"m"), jwk=signer.public_jwk(), algorithm="Ed25519")


def test_an_rsa_key_registered_for_pss_does_not_verify_the_older_padding() -> None:
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = PrivateKeySigner(private_key).public_jwk()
    signature = private_key.sign(b"m", padding.PKCS1v15(), hashes.SHA256())
    check_signature(b"m", signature, jwk={**jwk, "alg": "RS256"}, algorithm="RS256")
    with pytest.raises(UnusableKey):
        check_signature(b"m", signature, jwk=jwk, algorithm="RS256")


def test_eddsa_is_the_older_name_of_ed25519() -> None:
    signer = PrivateKeySigner.generate("Ed25519")
    check_signature(b"m", signer.sign(b"m"), jwk=signer.public_jwk(), algorithm="EdDSA")


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "alg": "ES256"},
        {"kty": "EC", "crv": "P-256", "x": ["AA"], "y": "AA", "alg": "ES256"},
        {"kty": "EC", "crv": "P-256", "alg": "ES256"},
        {"alg": "ES256"},
        {},
    ],
)
def test_a_symmetric_or_broken_key_is_refused(jwk: dict[str, object]) -> None:
    with pytest.raises(UnusableKey):
        check_signature(b"m", bytes(64), jwk=jwk, algorithm=str(jwk.get("alg", "ES256")))


def test_a_key_on_another_curve_is_refused() -> None:
    jwk = {**ECKey.import_key(ec.generate_private_key(ec.SECP384R1()).public_key()).as_dict(), "alg": "ES256"}
    with pytest.raises(UnusableKey):
        check_signature(b"m", bytes(64), jwk=jwk, algorithm="ES256")


@pytest.mark.parametrize(
    "private_key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - the weak key is the point
    ],
)
def test_a_weak_or_foreign_private_key_cannot_become_a_signer(private_key: PrivateKey) -> None:
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UnusableKey):
        PrivateKeySigner.from_pem(pem)


def test_bytes_that_are_no_key_are_refused() -> None:
    with pytest.raises(UnusableKey):
        PrivateKeySigner.from_pem(b"not a key")


def test_a_signer_never_shows_its_private_key() -> None:
    signer = PrivateKeySigner.generate("ES256")
    assert "PRIVATE" not in repr(signer)
    assert set(repr(signer).split("(")[1].split("=")) & {"d"} == set()
