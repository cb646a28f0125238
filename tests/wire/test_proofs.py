import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.wire.cosignatures import cosign
from gateway.wire.encoding import b64_decode, b64_encode
from gateway.wire.errors import MalformedInput, ProofFailed
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import Checkpoint, add_signatures, sign_note, split_note, verifier_key_of
from gateway.wire.proofs import (
    PROOF_FORMAT,
    Proof,
    ProvedStep,
    PublicKeys,
    encode_public_keys,
    parse_proof,
    parse_public_keys,
    verify_proof,
)
from gateway.wire.receipts import issue_receipt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import EXCHANGE, ISSUER, ORIGIN, MemoryLog, a_leaf, a_proof_file, a_receipt

GATEWAY = PrivateKeySigner.generate("ES256")
LOG = PrivateKeySigner.generate("Ed25519")
FILE = a_proof_file(MemoryLog(LOG), GATEWAY)
PROOF = parse_proof(FILE)
VKEY = verifier_key_of(LOG, ORIGIN).encode()


def verified(proof: Proof = PROOF, **changes: Any) -> list[ProvedStep]:
    arguments: dict[str, Any] = {
        "log_vkeys": [VKEY],
        "receipt_keys": [GATEWAY.public_jwk()],
        "issuer": ISSUER,
        **changes,
    }
    return verify_proof(proof, **arguments)


def failing_step(proof: Proof = PROOF, **changes: Any) -> str:
    with pytest.raises(ProofFailed) as failed:
        verified(proof, **changes)
    return failed.value.step


def proof_of(**changes: Any) -> Proof:
    """A proof whose every signature is true, over a leaf or receipt that says something else."""
    return parse_proof(a_proof_file(MemoryLog(LOG), GATEWAY, others=5, **changes))


def test_a_true_proof_holds_step_by_step() -> None:
    steps = verified()
    assert [(step.number, step.name) for step in steps] == [
        (1, "receipt"),
        (2, "entry"),
        (3, "statement"),
        (4, "checkpoint"),
        (5, "inclusion"),
    ]
    assert EXCHANGE in steps[0].proved
    assert "disclosed" in steps[0].proved
    assert "300" in steps[4].proved


def test_a_refusal_is_proved_as_well_as_a_disclosure() -> None:
    leaf = a_leaf(event="sharing.record.refused", outcome="refused", members=("E06000008",))
    receipt = a_receipt(
        decision="deny",
        outcome="refused",
        provider=None,
        fields_disclosed=(),
        log_entry=b64_encode(leaf_hash(leaf.encode())),
    )
    assert "refused" in verified(proof_of(leaf=leaf, receipt=receipt))[0].proved


def test_the_receipt_must_be_the_gateways_and_about_this_exchange() -> None:
    assert failing_step(receipt_keys=[PrivateKeySigner.generate("ES256").public_jwk()]) == "1 receipt"
    assert failing_step(issuer="https://other.example") == "1 receipt"
    assert failing_step(replace(PROOF, exchange="another")) == "1 receipt"
    assert failing_step(replace(PROOF, receipt=PROOF.receipt + "A")) == "1 receipt"


def test_the_entry_must_be_the_one_the_receipt_names() -> None:
    assert failing_step(replace(PROOF, leaf=a_leaf(outcome="refused").encode())) == "2 entry"
    other = issue_receipt(a_receipt(log_entry=b64_encode(bytes(32))), signer=GATEWAY)
    assert failing_step(replace(PROOF, receipt=other)) == "2 entry"


@pytest.mark.parametrize(
    "changes", [{"outcome": "refused"}, {"reference": "another-exchange"}, {"reference": None}, {"members": ("dwp",)}]
)
def test_entry_and_receipt_must_tell_the_same_story(changes: dict[str, Any]) -> None:
    assert failing_step(proof_of(leaf=a_leaf(**changes))) == "3 statement"


def test_the_checkpoint_must_be_signed_by_the_log_for_this_log() -> None:
    other_key = verifier_key_of(PrivateKeySigner.generate("Ed25519"), ORIGIN).encode()
    assert failing_step(log_vkeys=[other_key]) == "4 checkpoint"
    assert failing_step(log_vkeys=["nonsense"]) == "4 checkpoint"
    assert failing_step(log_vkeys=[]) == "4 checkpoint"
    elsewhere = Checkpoint(origin="other.example/log", size=302, root=bytes(32))
    assert failing_step(replace(PROOF, checkpoint=sign_note(elsewhere.encode(), LOG, ORIGIN))) == "4 checkpoint"


def test_a_checkpoint_of_many_signatures_proves_as_much() -> None:
    renewed, witness = PrivateKeySigner.generate("Ed25519"), PrivateKeySigner.generate("Ed25519")
    text = split_note(PROOF.checkpoint)[0]
    both = sign_note(text, LOG, ORIGIN, also_by=[renewed])
    lines = [cosign(text, witness, "witness.example", at=datetime(2026, 3, 1, tzinfo=UTC)), "— grease.example AAAAAAA="]
    note = replace(PROOF, checkpoint=add_signatures(both, lines))
    newer = verifier_key_of(renewed, ORIGIN).encode()
    for known in ([VKEY], [newer], [newer, VKEY]):
        assert len(verified(note, log_vkeys=known)) == 5
    # Before the rotation only the old key had signed: whoever knows both still accepts that.
    assert len(verified(log_vkeys=[newer, VKEY])) == 5
    assert failing_step(log_vkeys=[newer]) == "4 checkpoint"


def test_the_entry_must_be_in_the_tree_that_was_signed() -> None:
    forked = Checkpoint(origin=ORIGIN, size=302, root=bytes(32))
    assert failing_step(replace(PROOF, checkpoint=sign_note(forked.encode(), LOG, ORIGIN))) == "5 inclusion"
    assert failing_step(replace(PROOF, leaf_index=PROOF.leaf_index - 1)) == "5 inclusion"
    assert failing_step(replace(PROOF, leaf_index=10**9)) == "5 inclusion"
    assert failing_step(replace(PROOF, inclusion_proof=PROOF.inclusion_proof[:-1])) == "5 inclusion"
    assert failing_step(replace(PROOF, inclusion_proof=())) == "5 inclusion"


MEMBERS: dict[str, Any] = json.loads(FILE)
# What is said by signatures and hashes; base64 and JSON spellings are covered by their own tests.
PROVING_BYTES = [("leaf", len(PROOF.leaf)), ("checkpoint", len(PROOF.checkpoint)), ("receipt", len(PROOF.receipt))]


@settings(max_examples=200, deadline=None)
@given(which=st.sampled_from(PROVING_BYTES), position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_no_proving_byte_can_be_changed(which: tuple[str, int], position: int, flip: int) -> None:
    name, length = which
    value = getattr(PROOF, name)
    data = bytearray(value.encode() if isinstance(value, str) else value)
    data[position % length] ^= flip
    changed = data.decode("latin-1") if isinstance(value, str) else bytes(data)
    change: dict[str, Any] = {name: changed}
    with pytest.raises(GatewayError):
        verified(replace(PROOF, **change))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_file_without_one_of_its_members_or_with_another_type_is_refused(name: str) -> None:
    for members in ({key: value for key, value in MEMBERS.items() if key != name}, {**MEMBERS, name: {}}):
        with pytest.raises(MalformedInput):
            parse_proof(json.dumps(members).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "gateway-proof/2"},
        {"leaf_index": -1},
        {"leaf_index": True},
        {"inclusion_proof": ["AAAA"]},
        {"inclusion_proof": [1]},
        {"inclusion_proof": [b64_encode(bytes(32))] * 65},
        {"leaf": "not base64"},
        {"checkpoint": "half a character: \ud800"},
    ],
)
def test_a_malformed_file_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedInput):
        parse_proof(json.dumps({**MEMBERS, **changes}).encode())
    for data in (b"", b"[]", b"\xff", FILE[:-10]):
        with pytest.raises(MalformedInput):
            parse_proof(data)


def test_the_file_says_what_it_is() -> None:
    assert MEMBERS["format"] == PROOF_FORMAT
    assert list(MEMBERS) == ["format", "exchange", "leaf", "leaf_index", "inclusion_proof", "checkpoint", "receipt"]
    assert b64_decode(MEMBERS["leaf"]) == a_leaf().encode()


KEYS = PublicKeys(issuer=ISSUER, log_vkey=VKEY, keys=(GATEWAY.public_jwk(), LOG.public_jwk()))


def test_public_keys_survive_their_file() -> None:
    assert parse_public_keys(encode_public_keys(KEYS)) == KEYS
    rotated = replace(KEYS, older_log_vkeys=(verifier_key_of(PrivateKeySigner.generate("Ed25519"), ORIGIN).encode(),))
    assert parse_public_keys(encode_public_keys(rotated)) == rotated
    assert "older_log_vkeys" not in json.loads(encode_public_keys(KEYS))


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": None},
        {"log_vkey": None},
        {"log_vkey": "name+00000000+AAAA"},
        {"older_log_vkeys": "name"},
        {"older_log_vkeys": [7]},
        {"older_log_vkeys": ["name+00000000+AAAA"]},
        {"keys": []},
        {"keys": {}},
        {"keys": ["text"]},
        {"keys": [{"kty": "oct", "k": "AAAA", "alg": "HS256"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
    ],
)
def test_a_keys_file_that_could_not_verify_anything_is_refused(changes: dict[str, Any]) -> None:
    members = {**json.loads(encode_public_keys(KEYS)), **changes}
    with pytest.raises(MalformedInput):
        parse_public_keys(json.dumps(members).encode())
