from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales import signing, tlog

from gateway.errors import GatewayError
from gateway.wire.cosignatures import (
    Cosignature,
    CosignatureKey,
    cosign,
    cosignature_key_of,
    cosignatures_of,
    parse_cosignature_key,
)
from gateway.wire.errors import InvalidNote, UnusableKey
from gateway.wire.notes import (
    Checkpoint,
    SignatureLine,
    add_signatures,
    encode_vkey,
    open_checkpoint,
    parse_signature_line,
    sign_note,
    verifier_key_of,
)
from gateway.wire.signer import PrivateKeySigner

LOG = PrivateKeySigner.generate("Ed25519")
WITNESS = PrivateKeySigner.generate("Ed25519")
ORIGIN = "gateway.example/log"
NAME = "witness.example/w1"
KEY = cosignature_key_of(WITNESS, NAME)
AT = datetime(2026, 3, 1, 12, 0, 0, 900_000, tzinfo=UTC)
CHECKPOINT = Checkpoint(origin=ORIGIN, size=20852163, root=bytes(range(32)))
TEXT = CHECKPOINT.encode()
NOTE = sign_note(TEXT, LOG, ORIGIN)
COSIGNED = add_signatures(NOTE, [cosign(TEXT, WITNESS, NAME, at=AT)])


def test_the_example_of_the_specification_has_the_form_we_read() -> None:
    line = (
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJs"
        "X3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    parsed = parse_signature_line(line)
    assert int.from_bytes(parsed.signature[:8], "big") == 1679315147
    assert parsed.encode() == line


def test_a_cosignature_verifies_here_and_with_an_independent_library() -> None:
    assert cosignatures_of(COSIGNED, [KEY]) == (Cosignature(key=KEY, at=int(AT.timestamp())),)
    theirs = tlog.Checkpoint.from_text(COSIGNED.decode())
    theirs.verify(signing.Vkey.from_string(KEY.encode()))
    theirs.verify(signing.Vkey.from_string(verifier_key_of(LOG, ORIGIN).encode()))


def test_a_post_quantum_cosignature_made_by_an_independent_library_verifies_here() -> None:
    signer = signing.MLDSA44CosignatureSigner(NAME, MLDSA44PrivateKey.generate())
    key = parse_cosignature_key(signer.vkey.serialize())  # type: ignore[no-untyped-call]
    line = signer.sign(tlog.Checkpoint.from_text(NOTE.decode())).serialize()
    (found,) = cosignatures_of(add_signatures(NOTE, [line]), [key])
    assert found.key == key
    # Another checkpoint, another name, another time: none of them verifies.
    other = sign_note(Checkpoint(origin=ORIGIN, size=20852164, root=CHECKPOINT.root).encode(), LOG, ORIGIN)
    with pytest.raises(InvalidNote):
        cosignatures_of(add_signatures(other, [line]), [key])
    parsed = parse_signature_line(line)
    later = parsed.signature[:7] + bytes([parsed.signature[7] ^ 1]) + parsed.signature[8:]
    forged = SignatureLine(name=NAME, key_id=key.key_id, signature=later).encode()
    with pytest.raises(InvalidNote):
        cosignatures_of(add_signatures(NOTE, [forged]), [key])


def test_both_cosignature_types_of_one_witness_stand_side_by_side() -> None:
    new = signing.MLDSA44CosignatureSigner(NAME, MLDSA44PrivateKey.generate())
    key = parse_cosignature_key(new.vkey.serialize())  # type: ignore[no-untyped-call]
    note = add_signatures(COSIGNED, [new.sign(tlog.Checkpoint.from_text(NOTE.decode())).serialize()])
    assert {found.key for found in cosignatures_of(note, [KEY, key])} == {KEY, key}
    assert [found.key for found in cosignatures_of(note, [KEY])] == [KEY]
    assert open_checkpoint(note, [verifier_key_of(LOG, ORIGIN)]) == CHECKPOINT


def test_the_key_survives_its_text_and_is_the_one_an_independent_library_writes() -> None:
    assert parse_cosignature_key(KEY.encode()) == KEY
    assert signing.Vkey(NAME, None, 4, KEY.public_key).serialize() == KEY.encode()  # type: ignore[no-untyped-call]


def test_a_logs_key_is_no_witnesss_key_and_the_other_way_round() -> None:
    log_key = verifier_key_of(WITNESS, NAME)
    with pytest.raises(InvalidNote):
        parse_cosignature_key(log_key.encode())
    # The same key pair under the log's signature type has signed nothing here.
    assert log_key.key_id != KEY.key_id
    with pytest.raises(InvalidNote):
        open_checkpoint(COSIGNED, [log_key])


def test_a_plain_signature_by_the_witnesss_key_is_no_cosignature() -> None:
    plain = parse_signature_line(sign_note(TEXT, WITNESS, NAME).decode().split("\n")[-2])
    for time in (b"", bytes(8)):
        line = SignatureLine(name=NAME, key_id=KEY.key_id, signature=time + plain.signature).encode()
        with pytest.raises(InvalidNote):
            cosignatures_of(add_signatures(NOTE, [line]), [KEY])


def test_cosignatures_by_unknown_keys_are_ignored() -> None:
    other = cosign(TEXT, PrivateKeySigner.generate("Ed25519"), NAME, at=AT)
    renamed = cosign(TEXT, WITNESS, "witness.example/w2", at=AT)
    note = add_signatures(NOTE, [other, renamed])
    assert cosignatures_of(note, [KEY]) == ()
    assert cosignatures_of(COSIGNED, []) == ()


def test_a_false_cosignature_by_a_known_key_refuses_the_note() -> None:
    elsewhere = cosign(Checkpoint(origin=ORIGIN, size=1, root=bytes(32)).encode(), WITNESS, NAME, at=AT)
    with pytest.raises(InvalidNote):
        cosignatures_of(add_signatures(COSIGNED, [elsewhere]), [KEY])


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 71), flip=st.integers(1, 255))
def test_neither_time_nor_signature_can_be_changed(position: int, flip: int) -> None:
    line = parse_signature_line(cosign(TEXT, WITNESS, NAME, at=AT))
    changed = bytearray(line.signature)
    changed[position] ^= flip
    forged = SignatureLine(name=NAME, key_id=KEY.key_id, signature=bytes(changed)).encode()
    with pytest.raises(GatewayError):
        cosignatures_of(add_signatures(NOTE, [forged]), [KEY])


def test_a_time_beyond_63_bits_is_refused_though_it_was_signed() -> None:
    private = Ed25519PrivateKey.generate()
    key = CosignatureKey(name=NAME, public_key=private.public_key().public_bytes_raw())
    for seconds, accepted in ((2**63 - 1, True), (2**63, False)):
        signature = seconds.to_bytes(8, "big") + private.sign(f"cosignature/v1\ntime {seconds}\n{TEXT}".encode())
        note = add_signatures(NOTE, [SignatureLine(name=NAME, key_id=key.key_id, signature=signature).encode()])
        if accepted:
            assert cosignatures_of(note, [key])[0].at == seconds
        else:
            with pytest.raises(InvalidNote):
                cosignatures_of(note, [key])


def test_only_checkpoints_are_cosigned_and_only_with_ed25519_keys() -> None:
    with pytest.raises(InvalidNote):
        cosign("any text\n", WITNESS, NAME, at=AT)
    with pytest.raises(UnusableKey):
        cosign(TEXT, PrivateKeySigner.generate("ES256"), NAME, at=AT)


@pytest.mark.parametrize("typed_key", [b"", b"\x04", b"\x04" + bytes(31), b"\x06" + bytes(32), b"\x05" + bytes(32)])
def test_a_key_of_another_type_or_length_is_refused(typed_key: bytes) -> None:
    with pytest.raises(InvalidNote):
        parse_cosignature_key(encode_vkey(NAME, typed_key))
