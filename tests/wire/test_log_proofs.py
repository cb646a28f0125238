from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tlog_scales.tlog import InclusionProof

from gateway.errors import GatewayError
from gateway.wire.cosignatures import cosign, cosignature_key_of
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import InvalidNote, InvalidTree, MalformedInput
from gateway.wire.log_proofs import LogProof, parse_log_proof, verify_log_proof
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import add_signatures, parse_checkpoint, split_note, verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.tiles import prove_inclusion
from gateway.wire.trust_policy import parse_policy
from tests.kit.statements import MemoryLog

SIGNER = PrivateKeySigner.generate("Ed25519")
WITNESS = PrivateKeySigner.generate("Ed25519")
LOG = MemoryLog(SIGNER)
LOG.append(*(f"entry {number}".encode() for number in range(300)))
INDEX = 137
ENTRY = LOG.entries[INDEX]
KEY = verifier_key_of(SIGNER, LOG.origin)
PROOF = LogProof(index=INDEX, hashes=tuple(prove_inclusion(INDEX, 300, LOG.read_tile)), checkpoint=LOG.checkpoint())
FILE = PROOF.encode()
WITNESSED = parse_policy(
    f"log {KEY.encode()}\nwitness w {cosignature_key_of(WITNESS, 'w.example').encode()}\nquorum w\n".encode()
)


def test_a_true_proof_holds_here_and_by_an_independent_library() -> None:
    proof = parse_log_proof(FILE)
    assert proof == PROOF
    assert verify_log_proof(ENTRY, proof, [KEY]).size == 300
    checkpoint = parse_checkpoint(split_note(proof.checkpoint)[0])
    InclusionProof(proof.index, checkpoint.size, list(proof.hashes)).check(leaf_hash(ENTRY), checkpoint.root)


def test_the_file_is_laid_out_as_the_specification_shows() -> None:
    lines = replace(PROOF, extra=b"more").encode().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra bW9yZQ==", f"index {INDEX}"]
    assert lines[3] == b64_encode(leaf_hash(LOG.entries[INDEX - 1]))  # the leaf's sibling comes first
    assert lines[3 + len(PROOF.hashes)] == ""
    assert "\n".join(lines[4 + len(PROOF.hashes) :]).encode() == PROOF.checkpoint


def test_extra_data_survives_and_is_not_needed() -> None:
    for extra in (b"", b"\x00\xff"):
        assert parse_log_proof(replace(PROOF, extra=extra).encode()).extra == extra
    assert parse_log_proof(FILE).extra is None


def test_a_policy_also_asks_who_cosigned() -> None:
    with pytest.raises(InvalidNote, match="too few witnesses"):
        verify_log_proof(ENTRY, PROOF, WITNESSED)
    line = cosign(split_note(PROOF.checkpoint)[0], WITNESS, "w.example", at=datetime(2026, 3, 1, tzinfo=UTC))
    cosigned = replace(PROOF, checkpoint=add_signatures(PROOF.checkpoint, [line]))
    assert verify_log_proof(ENTRY, parse_log_proof(cosigned.encode()), WITNESSED).size == 300


def test_another_entry_or_place_or_log_does_not_hold() -> None:
    for entry, proof in (
        (LOG.entries[INDEX + 1], PROOF),
        (ENTRY, replace(PROOF, index=INDEX + 1)),
        (ENTRY, replace(PROOF, index=10**18)),
        (ENTRY, replace(PROOF, hashes=PROOF.hashes[:-1])),
        (ENTRY, replace(PROOF, hashes=(*PROOF.hashes, bytes(32)))),
    ):
        with pytest.raises(InvalidTree):
            verify_log_proof(entry, proof, [KEY])
    with pytest.raises(InvalidNote):
        verify_log_proof(ENTRY, PROOF, [verifier_key_of(WITNESS, LOG.origin)])
    with pytest.raises(InvalidNote):
        verify_log_proof(ENTRY, PROOF, [])


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255))
def test_no_byte_of_the_file_can_be_changed(position: int, byte: int) -> None:
    changed = FILE[:position] + bytes([byte]) + FILE[position + 1 :]
    if changed != FILE:
        with pytest.raises(GatewayError):
            verify_log_proof(ENTRY, parse_log_proof(changed), [KEY])


HASH = b64_encode(bytes(32))
HEADER = "c2sp.org/tlog-proof@v1\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        f"{HEADER}index 0\n",
        f"{HEADER}index 0\n\n",
        f"{HEADER}\nnote",
        f"index 0\n{HEADER}\nnote",
        "c2sp.org/tlog-proof@v2\nindex 0\n\nnote",
        f"{HEADER}extra AAAA\n\nnote",
        f"{HEADER}index 0\nextra AAAA\n\nnote",
        f"{HEADER}extra A\nindex 0\n\nnote",
        f"{HEADER}extra AAAA\nextra AAAA\nindex 0\n\nnote",
        f"{HEADER}index 00\n\nnote",
        f"{HEADER}index -1\n\nnote",
        f"{HEADER}index {'9' * 20}\n\nnote",
        f"{HEADER}index 0 \n\nnote",
        f"{HEADER}index 0\nAAAA\n\nnote",
        f"{HEADER}index 0\n{HASH} \n\nnote",
        f"{HEADER}index 0\n" + f"{HASH}\n" * 65 + "\nnote",
        f"{HEADER}index 0\r\n\r\nnote",
    ],
)
def test_a_malformed_file_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        parse_log_proof(text.encode())


def test_what_nobody_would_read_is_not_written() -> None:
    for wrong in (replace(PROOF, index=-1), replace(PROOF, hashes=(bytes(31),)), replace(PROOF, checkpoint=b"")):
        with pytest.raises(MalformedInput):
            wrong.encode()
