"""Disclosures that only their recipient reads: labels are held against what was signed, and keys to their one use."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from joserfc import jwe
from joserfc.jwk import ECKey

from gateway.wire.encoding import b64url_decode, b64url_encode
from gateway.wire.errors import InvalidEncryption, InvalidJws, UnusableKey
from gateway.wire.jws import issue_jwt, verify_jws
from gateway.wire.keys import SIGNING_ALGORITHMS, algorithm_of, check_signature
from gateway.wire.sd_jwt import issue_sd_jwt, without_disclosures
from gateway.wire.sealed_disclosures import (
    DecryptionKey,
    SealedDisclosure,
    as_json,
    check_encryption_key,
    check_labels,
    open_disclosures,
    read_sealed,
    seal_disclosures,
)
from gateway.wire.signer import PrivateKeySigner

SIGNER = PrivateKeySigner.generate("ES256")
KEY = DecryptionKey.generate()


def _record(**fields: Any) -> dict[str, str]:
    return without_disclosures(issue_sd_jwt({"iss": "dwp"}, fields, signer=SIGNER, typ="test+sd-jwt"))[1]


DISCLOSURES = _record(eligible=True, tier="Sample £ tier")
SEALED = seal_disclosures(DISCLOSURES, to=KEY.public_jwk())
DIGESTS = frozenset(part.digest for part in SEALED)


@pytest.mark.parametrize("private", [ec.generate_private_key(ec.SECP256R1()), x25519.X25519PrivateKey.generate()])
@pytest.mark.parametrize("algorithm", ["ECDH-ES", "ECDH-ES+A256KW"])
def test_the_recipient_reads_what_was_disclosed(private: Any, algorithm: str) -> None:
    key = DecryptionKey(private)
    parts = seal_disclosures(DISCLOSURES, to={**key.public_jwk(), "alg": algorithm})
    again = DecryptionKey.from_pem(key.private_pem())
    opened = open_disclosures(read_sealed(as_json(parts)), digests=DIGESTS, keys=[KEY, again])
    assert opened == tuple(DISCLOSURES.values())
    check_labels(parts, digests=DIGESTS, to=key.thumbprint)


def test_nothing_of_a_value_can_be_read_from_outside() -> None:
    for part in SEALED:
        opened = b"".join(b64url_decode(piece) for piece in part.jwe.split("."))
        assert b64url_decode(DISCLOSURES[part.field])[30:] not in opened
        assert DISCLOSURES[part.field] not in part.jwe
        assert "Sample" not in repr(part)
        assert part.jwe not in repr(part)


def test_swapped_labels_are_noticed() -> None:
    first, second = SEALED
    swapped = [replace(first, field=second.field), replace(second, field=first.field)]
    with pytest.raises(InvalidEncryption, match="another field"):
        open_disclosures(swapped, digests=DIGESTS, keys=[KEY])
    contents = [replace(first, jwe=second.jwe), replace(second, jwe=first.jwe)]
    with pytest.raises(InvalidEncryption, match="another disclosure"):
        open_disclosures(contents, digests=DIGESTS, keys=[KEY])


def test_a_part_that_the_issuer_did_not_sign_for_is_refused() -> None:
    (foreign,) = seal_disclosures(_record(eligible=False), to=KEY.public_jwk())
    for refuse in (
        lambda: check_labels([foreign], digests=DIGESTS, to=KEY.thumbprint),
        lambda: open_disclosures([foreign], digests=DIGESTS, keys=[KEY]),
    ):
        with pytest.raises(InvalidEncryption, match="not covered"):
            refuse()


def test_a_part_for_another_key_is_refused() -> None:
    other = DecryptionKey.generate()
    parts = seal_disclosures(DISCLOSURES, to=other.public_jwk())
    with pytest.raises(InvalidEncryption, match="another key"):
        check_labels(parts, digests=DIGESTS, to=KEY.thumbprint)
    with pytest.raises(UnusableKey, match="not at hand"):
        open_disclosures(parts, digests=DIGESTS, keys=[KEY])
    # The header may lie about it: then it does not open.
    header, *rest = parts[0].jwe.split(".")
    lied = b64url_encode(b64url_decode(header).replace(other.thumbprint.encode(), KEY.thumbprint.encode()))
    with pytest.raises(InvalidEncryption, match="cannot be decrypted"):
        open_disclosures([replace(parts[0], jwe=".".join((lied, *rest)))], digests=DIGESTS, keys=[KEY])


def test_a_changed_part_does_not_open() -> None:
    for place in range(1, 5):
        pieces = SEALED[0].jwe.split(".")
        raw = bytearray(b64url_decode(pieces[place]))
        raw[0] ^= 1
        pieces[place] = b64url_encode(bytes(raw))
        with pytest.raises(InvalidEncryption):
            open_disclosures([replace(SEALED[0], jwe=".".join(pieces))], digests=DIGESTS, keys=[KEY])


@pytest.mark.parametrize("header", [{"alg": "dir"}, {"enc": "A128CBC-HS256"}, {"typ": "JWE"}, {"zip": "DEF"}])
def test_other_encryption_than_agreed_is_refused(header: dict[str, str]) -> None:
    good = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": KEY.thumbprint, "typ": "gateway-disclosure+jwe"}
    made = {**good, **header}
    if made["alg"] == "dir":
        token = f"{b64url_encode(str(made).replace(chr(39), chr(34)).encode())}..AAAA.AAAA.AAAA"
    else:
        key = ECKey.import_key({n: v for n, v in KEY.public_jwk().items() if n not in ("alg", "use")})
        token = jwe.encrypt_compact(made, b"x", key, algorithms=[made["alg"], made["enc"], "DEF"])
    with pytest.raises(InvalidEncryption, match="not encrypted as agreed"):
        check_labels([replace(SEALED[0], jwe=token)], digests=DIGESTS, to=KEY.thumbprint)


@pytest.mark.parametrize(
    "unverified",
    [
        None,
        {},
        "x",
        [1],
        [{}],
        [{"field": "a", "digest": "b"}],
        [{"field": 1, "digest": "b", "jwe": "c"}],
        [{"field": "a", "digest": "b", "jwe": "c"}, {"field": "a", "digest": "d", "jwe": "c"}],
        [{"field": "a", "digest": "b", "jwe": "c"}, {"field": "e", "digest": "b", "jwe": "c"}],
    ],
)
def test_a_list_of_another_form_is_refused(unverified: object) -> None:
    with pytest.raises(InvalidEncryption):
        read_sealed(unverified)


@pytest.mark.parametrize("token", ["", "a.b.c", "!.a.a.a.a", "e30.a.a.a.a", "W10.a.a.a.a"])
def test_what_is_no_jwe_is_refused(token: str) -> None:
    part = SealedDisclosure(field="eligible", digest=SEALED[0].digest, jwe=token)
    with pytest.raises(InvalidEncryption):
        check_labels([part], digests=DIGESTS, to=KEY.thumbprint)


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "sig"},
        {"use": None},
        {"alg": "ES256"},
        {"alg": "dir"},
        {"alg": None},
        {"crv": "P-384"},
        {"kty": "RSA"},
        {"d": "AAAA"},
    ],
)
def test_only_public_keys_made_for_it_are_encrypted_to(changes: dict[str, Any]) -> None:
    jwk = {name: value for name, value in {**KEY.public_jwk(), **changes}.items() if value is not None}
    with pytest.raises(UnusableKey):
        check_encryption_key(jwk)
    with pytest.raises(UnusableKey):
        seal_disclosures(DISCLOSURES, to=jwk)


def test_a_signing_key_is_not_encrypted_to() -> None:
    with pytest.raises(UnusableKey):
        seal_disclosures(DISCLOSURES, to=SIGNER.public_jwk())
    with pytest.raises(UnusableKey):
        DecryptionKey.from_pem(PrivateKeySigner.generate("Ed25519").private_pem())


@pytest.mark.parametrize("alg", ["ES256", "ECDH-ES", None])
def test_a_key_for_encryption_verifies_nothing(alg: str | None) -> None:
    # The very same key, which can sign: only its use stands against it.
    private = ec.generate_private_key(ec.SECP256R1())
    signer = PrivateKeySigner(private)
    jwk = {**DecryptionKey(private).public_jwk(), "kid": signer.key_id}
    jwk = {**jwk, "alg": alg} if alg else {name: value for name, value in jwk.items() if name != "alg"}
    with pytest.raises(UnusableKey):
        algorithm_of(jwk)
    with pytest.raises(UnusableKey):
        check_signature(b"message", signer.sign(b"message"), jwk=jwk, algorithm="ES256")
    with pytest.raises(InvalidJws):
        verify_jws(issue_jwt({}, typ="JWT", signer=signer), keys=[jwk], typ="JWT", algorithms=SIGNING_ALGORITHMS)
