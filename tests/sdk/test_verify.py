import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.sdk.cli import main
from gateway.sdk.verify import verify
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import ProofFailed
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import verifier_key_of
from gateway.wire.proofs import PublicKeys, encode_public_keys
from gateway.wire.receipts import FailedRule
from gateway.wire.signer import PrivateKeySigner
from tests.kit.statements import ISSUER, ORIGIN, MemoryLog, a_leaf, a_proof_file, a_receipt

GATEWAY = PrivateKeySigner.generate("ES256")
LOG = PrivateKeySigner.generate("Ed25519")
FILE = a_proof_file(MemoryLog(LOG), GATEWAY)
KEYS = PublicKeys(issuer=ISSUER, log_vkey=verifier_key_of(LOG, ORIGIN).encode(), keys=(GATEWAY.public_jwk(),))


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    path = tmp_path / "proof.json"
    path.write_bytes(FILE)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "public-keys.json"
    path.write_bytes(encode_public_keys(KEYS))
    return path


def test_the_command_tells_each_step_and_exits_zero(proof: Path, keys: Path) -> None:
    command = [sys.executable, "-m", "gateway.sdk", "verify", str(proof), "--keys", str(keys)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:5]] == [
        "ok  1 receipt",
        "ok  2 entry",
        "ok  3 statement",
        "ok  4 checkpoint",
        "ok  5 inclusion",
    ]
    assert "disclosed: eligible, tier" in done.stdout


def test_it_needs_nothing_of_the_server() -> None:
    program = (
        "import gateway.sdk.verify, sys;"
        "print([name for name in sys.modules if name.split('.')[0] in ('flask', 'sqlalchemy', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda members: {**members, "exchange": "another"}, "1 receipt"),
        (lambda members: {**members, "leaf": b64_encode(a_leaf(outcome="refused").encode())}, "2 entry"),
        (lambda members: {**members, "checkpoint": members["checkpoint"].replace("302", "303")}, "4 checkpoint"),
        (lambda members: {**members, "leaf_index": 1}, "5 inclusion"),
        (lambda members: {**members, "format": "other"}, "0 file"),
    ],
)
def test_a_proof_that_fails_names_its_step_and_exits_one(
    change: Callable[[dict[str, object]], dict[str, object]],
    step: str,
    proof: Path,
    keys: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    proof.write_text(json.dumps(change(json.loads(FILE))))
    assert main(["verify", str(proof), "--keys", str(keys)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"FAILED  {step}: ")
    assert "Proved" not in captured.out


def test_a_refusal_shows_its_rules(proof: Path, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf = a_leaf(outcome="refused")
    receipt = a_receipt(
        decision="deny",
        outcome="refused",
        fields_disclosed=(),
        rules=(FailedRule(code="field_not_covered", title="The agreement does not cover it", rule="fields"),),
        log_entry=b64_encode(leaf_hash(leaf.encode())),
    )
    proof.write_bytes(a_proof_file(MemoryLog(LOG), GATEWAY, leaf=leaf, receipt=receipt, others=3))
    assert main(["verify", str(proof), "--keys", str(keys)]) == 0
    out = capsys.readouterr().out
    assert "rule field_not_covered: The agreement does not cover it" in out
    assert "disclosed: nothing" in out


def test_what_a_gateway_signed_writes_no_lines_of_its_own(
    proof: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deceiving = a_receipt(purpose="x)\nok  6 court: this is true\x1b[1A\u202e", issued_at="2026\rFAILED")
    proof.write_bytes(a_proof_file(MemoryLog(LOG), GATEWAY, receipt=deceiving))
    assert main(["verify", str(proof), "--keys", str(keys)]) == 0
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 7
    assert not set(told) & {"\x1b", "\r", "\u202e"}
    assert r"x)\nok  6 court" in told


def test_a_folder_of_keys_serves_the_gateway_the_receipt_names_and_no_other(proof: Path, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    stranger = replace(KEYS, issuer="https://other.example", keys=(PrivateKeySigner.generate("ES256").public_jwk(),))
    (folder / "other.json").write_bytes(encode_public_keys(stranger))
    (folder / "ours.json").write_bytes(encode_public_keys(KEYS))
    (folder / "notes.txt").write_text("not keys")
    assert verify(proof, folder).receipt == a_receipt()

    (folder / "ours.json").write_bytes(encode_public_keys(replace(KEYS, issuer="https://third.example")))
    with pytest.raises(ProofFailed) as failed:
        verify(proof, folder)
    assert failed.value.step == "0 keys"


def test_trusting_the_right_keys_under_another_issuer_is_refused(proof: Path, keys: Path) -> None:
    keys.write_bytes(encode_public_keys(replace(KEYS, issuer="https://other.example")))
    with pytest.raises(ProofFailed) as failed:
        verify(proof, keys)
    assert failed.value.step == "1 receipt"


def test_keys_that_are_none_are_named(proof: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    for keys in (empty, broken):
        with pytest.raises(ProofFailed) as failed:
            verify(proof, keys)
        assert failed.value.step == "0 keys"


def test_a_missing_file_or_argument_exits_two(
    proof: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "absent.json"), "--keys", str(keys)]) == 2
    assert "absent.json" in capsys.readouterr().err
    assert main(["verify", str(proof), "--keys", str(tmp_path / "absent.json")]) == 2
    for arguments in ([], ["verify"], ["verify", str(proof)], ["unknown"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_a_file_too_large_to_be_a_proof_is_refused_before_it_is_parsed(proof: Path, keys: Path) -> None:
    proof.write_bytes(b" " * 10_000_001)
    with pytest.raises(ProofFailed):
        verify(proof, keys)


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "gateway keys export" in text
    assert "Exit status: 0" in text
