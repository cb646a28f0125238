"""`gateway audit …`, as an operator and an outsider type it; and the proof they hand on."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from gateway.audit.append import Entry
from gateway.audit.checking.prove import prove_exchange, prove_when_published
from gateway.audit.checking.trust import trust_in
from gateway.audit.commands import AuditContext, audit_group
from gateway.audit.errors import EventNotFound, NotYetPublished
from gateway.audit.event_document import FIELDS, events_document
from gateway.audit.events import EVENTS
from gateway.audit.log_keys import LogKeys
from gateway.audit.models import EventRow
from gateway.errors import GatewayError
from gateway.sdk.verify import verify
from gateway.wire.encoding import b64_encode
from gateway.wire.errors import ProofFailed
from gateway.wire.log_proofs import parse_log_proof, verify_log_proof
from gateway.wire.notes import parse_verifier_key, verifier_key_of
from gateway.wire.proofs import PublicKeys, encode_public_keys
from gateway.wire.receipts import issue_receipt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.log import ORIGIN, TestLog
from tests.kit.processes import REPOSITORY
from tests.kit.statements import EXCHANGE, ISSUER, a_receipt

GATEWAY = PrivateKeySigner.generate("ES256")


class Exchanges:
    """Stands where the exchanges' receipts are kept."""

    def __init__(self, log: TestLog, *, merge_delay: float = 0.3) -> None:
        self.log = log
        self.receipts: dict[str, str] = {}
        self.merge_delay = merge_delay

    def disclosed(self, exchange: str = EXCHANGE) -> Entry:
        """Record one disclosure and issue its receipt."""
        [entry] = self.log.record(reference=exchange)
        receipt = a_receipt(exchange=exchange, log_entry=b64_encode(entry.leaf_hash))
        self.receipts[exchange] = issue_receipt(receipt, signer=GATEWAY)
        return entry

    def receipt_of(self, _session: Session, exchange: str) -> str | None:
        return self.receipts.get(exchange)

    def run(self, *arguments: str) -> Result:
        log = self.log
        context = AuditContext(
            database=log.database,
            log_dir=log.files,
            log_keys=LogKeys(origin=ORIGIN, signers=(log.signer,)),
            clock=log.clock,
            receipt_of=self.receipt_of,
            audit_log=log.audit,
            find_subject=lambda _session, kind, value: {"citizen": "person-1"}.get(kind) if value else None,
            merge_delay=self.merge_delay,
        )
        return CliRunner().invoke(audit_group(lambda: context), arguments)


@pytest.fixture
def exchanges(log: TestLog) -> Exchanges:
    return Exchanges(log)


@pytest.fixture
def keys_file(log: TestLog, tmp_path: Path) -> Path:
    keys = PublicKeys(issuer=ISSUER, log_vkey=log.vkey, keys=(GATEWAY.public_jwk(),))
    path = tmp_path / "public-keys.json"
    path.write_bytes(encode_public_keys(keys))
    return path


def test_verify_says_what_holds(exchanges: Exchanges) -> None:
    exchanges.log.record(300)
    exchanges.log.publish()
    result = exchanges.run("verify")
    assert result.exit_code == 0
    assert "all 300 entries verify" in result.stdout


def test_verify_names_the_edited_row_and_fails(exchanges: Exchanges) -> None:
    log = exchanges.log
    log.record(5)
    log.publish()
    with log.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == 2)).one()
        row.leaf = row.leaf.replace(b"dwp", b"hmr")
    result = exchanges.run("verify")
    assert result.exit_code == 1
    assert "entry 2 in the database is not the published one" in result.stderr


def test_an_outsider_verifies_a_copy_with_a_key_they_hold(
    exchanges: Exchanges, keys_file: Path, tmp_path: Path
) -> None:
    exchanges.log.record(5)
    exchanges.log.publish()
    vkey_file = tmp_path / "log.vkey"
    vkey_file.write_text(exchanges.log.vkey + "\n")
    for key in (exchanges.log.vkey, str(keys_file), str(vkey_file)):
        result = exchanges.run("verify", "--from", str(exchanges.log.files), "--key", key)
        assert (result.exit_code, "all 5 entries verify" in result.stdout) == (0, True), result.output

    stranger = verifier_key_of(PrivateKeySigner.generate("Ed25519"), ORIGIN).encode()
    assert exchanges.run("verify", "--from", str(exchanges.log.files), "--key", stranger).exit_code == 1
    assert exchanges.run("verify", "--from", str(exchanges.log.files), "--key", "no such file").exit_code == 2
    assert exchanges.run("verify", "--from", str(tmp_path / "nowhere")).exit_code == 1


def test_a_proof_settles_the_matter_offline(exchanges: Exchanges, keys_file: Path, tmp_path: Path) -> None:
    exchanges.log.record(300)
    exchanges.disclosed()
    exchanges.log.record(40)
    exchanges.log.publish()
    file = tmp_path / "proof.json"
    assert exchanges.run("prove", EXCHANGE, "-o", str(file)).exit_code == 0

    verdict = verify(file, keys_file)
    assert verdict.receipt.exchange == EXCHANGE
    assert "number 300 of those 341" in verdict.steps[-1].proved
    settled = subprocess.run(
        [sys.executable, "-m", "gateway.sdk", "verify", str(file), "--keys", str(keys_file)],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    assert settled.returncode == 0, settled.stderr

    assert exchanges.run("prove", EXCHANGE).stdout_bytes == file.read_bytes()


def test_a_proof_that_any_tlog_client_reads_settles_it_too(
    exchanges: Exchanges, keys_file: Path, tmp_path: Path
) -> None:
    exchanges.log.record(300)
    entry = exchanges.disclosed()
    exchanges.disclosed("another-exchange")
    exchanges.log.publish()
    folder = tmp_path / "proofs"
    asked = ("prove", EXCHANGE, "another-exchange", "--format", "tlog-proof", "-o", str(folder))
    assert exchanges.run(*asked).exit_code == 0
    file = folder / f"{EXCHANGE}.tlog-proof"
    assert verify(file, keys_file).receipt.exchange == EXCHANGE
    key = parse_verifier_key(exchanges.log.vkey)
    assert verify_log_proof(entry.leaf, parse_log_proof(file.read_bytes()), [key]).size == 302

    # What the proof carries beside itself is believed in nothing: another receipt names another entry.
    stolen = parse_log_proof((folder / "another-exchange.tlog-proof").read_bytes()).extra
    file.write_bytes(replace(parse_log_proof(file.read_bytes()), extra=stolen).encode())
    with pytest.raises(ProofFailed) as failed:
        verify(file, keys_file)
    assert failed.value.step == "5 inclusion"
    for extra in (None, b"{}", b"junk", b'{"entry": "AA==", "receipt": "x"}'):
        file.write_bytes(replace(parse_log_proof(file.read_bytes()), extra=extra).encode())
        with pytest.raises(ProofFailed):
            verify(file, keys_file)


def test_an_archived_exchange_is_proved_from_what_was_published(
    exchanges: Exchanges, keys_file: Path, tmp_path: Path
) -> None:
    exchanges.disclosed()
    exchanges.log.record(600)
    exchanges.log.publish()
    with exchanges.log.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index < 256))
    file = tmp_path / "proof.json"
    assert exchanges.run("prove", EXCHANGE, "-o", str(file)).exit_code == 0
    assert verify(file, keys_file).receipt.exchange == EXCHANGE


def test_fsck_lists_every_fault_and_changes_its_exit_status(exchanges: Exchanges, tmp_path: Path) -> None:
    log, state = exchanges.log, tmp_path / "fsck.checkpoint"
    log.record(300)
    log.publish()
    assert exchanges.run("fsck", "--state", str(state)).exit_code == 0
    assert state.read_bytes() == (log.files / "checkpoint").read_bytes()
    log.record(10)
    log.publish()
    with log.database.write() as session:
        session.execute(update(EventRow).where(EventRow.leaf_index.in_([20, 305])).values(outcome="refused"))
    result = exchanges.run("fsck", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["fault_count"]) == (1, 2)
    assert [fault["index"] for fault in told["faults"]] == [20, 305]
    since = exchanges.run("fsck", "--state", str(state))
    assert (since.exit_code, "305" in since.stdout, " 20 " in since.stdout) == (1, True, False)
    assert state.read_bytes() != (log.files / "checkpoint").read_bytes(), "what is unsound is not remembered"
    assert exchanges.run("fsck", "--since", "306").exit_code == 0


def test_another_event_about_the_same_exchange_is_not_taken_for_its_outcome(
    exchanges: Exchanges, keys_file: Path, tmp_path: Path
) -> None:
    exchanges.log.record(reference=EXCHANGE, name="oversight.proof.downloaded", outcome="done", details={})
    exchanges.disclosed()
    exchanges.log.record(reference=EXCHANGE, name="oversight.proof.downloaded", outcome="done", details={})
    exchanges.log.publish()
    file = tmp_path / "proof.json"
    exchanges.run("prove", EXCHANGE, "-o", str(file))
    assert "sharing.record.disclosed" in verify(file, keys_file).steps[2].proved


def test_an_unknown_exchange_is_said_to_be_unknown(exchanges: Exchanges) -> None:
    result = exchanges.run("prove", EXCHANGE)
    assert result.exit_code == 1
    assert f"there is no exchange {EXCHANGE}" in result.stderr


def test_a_proof_asked_for_too_early_waits_for_publication(exchanges: Exchanges) -> None:
    exchanges.merge_delay = 20
    exchanges.disclosed()
    timer = threading.Timer(0.5, exchanges.log.publish)
    timer.start()
    result = exchanges.run("prove", EXCHANGE)
    timer.join()
    assert result.exit_code == 0, result.output


def test_an_exchange_never_published_is_said_to_be_pending(exchanges: Exchanges) -> None:
    exchanges.log.record(1)
    exchanges.log.publish()
    exchanges.disclosed()
    result = exchanges.run("prove", EXCHANGE)
    assert result.exit_code == 1
    assert "not under a published checkpoint yet" in result.stderr


def test_a_numbered_entry_beyond_the_checkpoint_is_pending_too(exchanges: Exchanges) -> None:
    exchanges.log.publish()
    exchanges.disclosed()
    exchanges.log.sequencer()._number()
    with pytest.raises(NotYetPublished):
        asked_for(exchanges, exchanges.receipts[EXCHANGE])


def asked_for(exchanges: Exchanges, receipt: str, reference: str = EXCHANGE) -> bytes:
    log = exchanges.log
    with log.database.read() as session:
        trust = trust_in([log.vkey])
        return prove_exchange(session, log_dir=log.files, trust=trust, reference=reference, receipt=receipt).as_json()


def test_a_receipt_of_another_exchange_proves_nothing(exchanges: Exchanges) -> None:
    exchanges.disclosed()
    exchanges.disclosed("another-exchange")
    exchanges.log.publish()
    with pytest.raises(EventNotFound):
        asked_for(exchanges, exchanges.receipts["another-exchange"])
    for nonsense in ("", "a.b.c", "not a receipt"):
        with pytest.raises(GatewayError):
            asked_for(exchanges, nonsense)


def test_no_proof_leaves_from_damaged_files(exchanges: Exchanges) -> None:
    exchanges.disclosed()
    exchanges.log.record(4)
    exchanges.log.publish()
    tile = exchanges.log.files / "tile/0/000.p/5"
    hashes = tile.read_bytes()
    tile.write_bytes(hashes[:-1] + bytes([hashes[-1] ^ 1]))
    result = exchanges.run("prove", EXCHANGE)
    assert result.exit_code == 1
    assert "leads to another root" in result.stderr


def test_waiting_ends(exchanges: Exchanges) -> None:
    exchanges.disclosed()
    log = exchanges.log
    with pytest.raises(NotYetPublished):
        prove_when_published(
            log.database,
            log_dir=log.files,
            trust=trust_in([log.vkey]),
            reference=EXCHANGE,
            receipt=exchanges.receipts[EXCHANGE],
            wait_seconds=0.3,
        )


def test_the_key_is_the_one_that_signs(exchanges: Exchanges) -> None:
    assert exchanges.run("key").stdout == exchanges.log.vkey + "\n"


def test_the_document_of_events_is_up_to_date(exchanges: Exchanges) -> None:
    written = (REPOSITORY / "docs" / "audit-events.md").read_text(encoding="utf-8")
    assert exchanges.run("events").stdout == written == events_document()


def test_every_event_is_a_described_fact_with_an_outcome() -> None:
    for name, event in EVENTS.items():
        assert name == event.name
        assert name.count(".") == 2
        assert event.description.endswith(".")
        assert event.outcomes
        assert len(set(event.fields)) == len(event.fields)


def test_every_detail_has_one_meaning_and_no_meaning_is_left_over() -> None:
    assert set(FIELDS) == {field for event in EVENTS.values() for field in event.fields}


@pytest.mark.parametrize("command", ["verify", "fsck", "prove", "monitor", "key", "events"])
def test_every_command_explains_itself(exchanges: Exchanges, command: str) -> None:
    result = exchanges.run(command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) >= 5
