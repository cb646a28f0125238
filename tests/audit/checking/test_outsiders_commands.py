"""What anybody types who has nothing but a log's address and its key: no settings, no database, no gateway."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
from click.testing import CliRunner, Result

from gateway.audit.checking.sources import HttpSource
from gateway.audit.checking.verify import verify_log
from gateway.audit.commands import audit_group
from gateway.audit.errors import LogUnreadable
from gateway.errors import SettingsError
from gateway.wire.cosignatures import cosign, cosignature_key_of
from gateway.wire.encoding import b64_decode
from gateway.wire.log_proofs import parse_log_proof, verify_log_proof
from gateway.wire.merkle import leaf_hash, root_of, verify_consistency
from gateway.wire.notes import parse_verifier_key
from gateway.wire.signer import PrivateKeySigner
from tests.kit.built_log import BuiltLog, entries_up_to
from tests.kit.processes import REPOSITORY


def no_gateway() -> NoReturn:
    pytest.fail("an outsider's command asked for the gateway's own state")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit_group(no_gateway), [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> BuiltLog:
    return BuiltLog(directory=tmp_path / "log").publish(entries_up_to(700))


class _Files(SimpleHTTPRequestHandler):
    """Serves files; whoever sets a gate is told when `path` is asked for, and lets it through."""

    protocol_version = "HTTP/1.1"
    gate: ClassVar[tuple[str, threading.Event, threading.Event] | None] = None

    def do_GET(self) -> None:
        """Serve a file."""
        if self.gate is not None and self.path == self.gate[0]:
            _path, reached, let_through = self.gate
            reached.set()
            let_through.wait(timeout=60)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address(log: BuiltLog) -> Iterator[str]:
    """The log on a real, plain web server that knows nothing of logs."""

    def handler(*arguments: Any) -> _Files:
        return _Files(*arguments, directory=str(log.directory.parent))

    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/log"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_log_is_verified_over_the_web_and_then_only_what_is_new(log: BuiltLog, address: str, tmp_path: Path) -> None:
    state = tmp_path / "seen.checkpoint"
    arguments = ("verify", "--from", address, "--key", log.vkey, "--state", state)
    assert "all 700 entries verify" in run(*arguments).stdout
    assert state.read_bytes() == (log.directory / "checkpoint").read_bytes()
    assert "nothing new" in run(*arguments).stdout
    log.publish(entries_up_to(5000)[700:])
    assert "entries 700 to 4999 verify, and continue the rest" in run(*arguments).stdout


def test_many_files_come_in_order_over_the_web_and_a_fault_among_them_is_named(log: BuiltLog, address: str) -> None:
    log.publish(entries_up_to(20_000)[700:])
    seen: list[bytes] = []
    verify_log(HttpSource(address), vkey=log.vkey, check_entries=lambda _first, entries: seen.extend(entries))
    assert seen == log.entries
    log.flip("tile/entries/033", 100)
    result = run("verify", "--from", address, "--key", log.vkey)
    assert (result.exit_code, "entry 8448 is not the one in the tree" in result.stderr) == (1, True)
    (log.directory / "tile/entries/033").unlink()
    with pytest.raises(LogUnreadable, match="tile/entries/033 is missing"):
        verify_log(HttpSource(address), vkey=log.vkey)


@pytest.mark.parametrize("size", [300, 700, 900])
def test_another_history_fails_with_both_sizes_and_the_evidence_is_kept(
    log: BuiltLog, tmp_path: Path, size: int
) -> None:
    state = tmp_path / "seen.checkpoint"
    assert run("verify", "--from", log.directory, "--key", log.vkey, "--state", state).exit_code == 0
    remembered = state.read_bytes()
    other = entries_up_to(size)
    other[100] = other[100].replace(b"disclosed", b"refused")
    forked = BuiltLog(directory=tmp_path / "forked", signer=log.signer).publish(other)
    result = run("verify", "--from", forked.directory, "--key", log.vkey, "--state", state)
    assert result.exit_code == 1
    assert "700" in result.stderr
    assert str(size) in result.stderr
    assert state.read_bytes() == remembered
    assert (tmp_path / "seen.checkpoint.conflict").read_bytes() == (forked.directory / "checkpoint").read_bytes()


def test_a_damaged_state_is_said_to_be_damaged(log: BuiltLog, tmp_path: Path) -> None:
    state = tmp_path / "seen.checkpoint"
    state.write_bytes(b"junk")
    result = run("verify", "--from", log.directory, "--key", log.vkey, "--state", state)
    assert result.exit_code == 1
    assert "seen.checkpoint is damaged" in result.stderr
    assert state.read_bytes() == b"junk"


def test_several_keys_may_be_given_and_any_that_signed_is_enough(log: BuiltLog, tmp_path: Path) -> None:
    other = BuiltLog(directory=tmp_path / "other")
    (tmp_path / "keys.txt").write_text(f"{other.vkey}\n{log.vkey}\n")
    assert run("verify", "--from", log.directory, "--key", other.vkey, "--key", log.vkey).exit_code == 0
    assert run("verify", "--from", log.directory, "--key", tmp_path / "keys.txt").exit_code == 0
    assert run("verify", "--from", log.directory, "--key", other.vkey).exit_code == 1


@pytest.mark.parametrize("key", ["nobody", "a+b+c", "x.example+00000000+AAAA"])
def test_a_key_that_is_none_is_a_mistake_of_the_caller(log: BuiltLog, key: str) -> None:
    assert run("verify", "--from", log.directory, "--key", key).exit_code == 2


def test_a_forgotten_key_is_named_where_there_is_no_gateway(log: BuiltLog) -> None:
    def no_settings() -> NoReturn:
        raise SettingsError("GATEWAY_ISSUER is missing")

    group = audit_group(no_settings)
    outsider = CliRunner().invoke(group, ["verify", "--from", str(log.directory)])
    assert (outsider.exit_code, "no --key is given" in outsider.stderr) == (2, True)
    operator = CliRunner().invoke(group, ["fsck"])
    assert (operator.exit_code, "GATEWAY_ISSUER" in operator.stderr) == (2, True)


def test_a_policy_demands_its_witnesses(log: BuiltLog, tmp_path: Path) -> None:
    witness = PrivateKeySigner.generate("Ed25519")
    vkey = cosignature_key_of(witness, "witness.example/w1").encode()
    policy = tmp_path / "policy.txt"
    policy.write_text(f"log {log.vkey}\nwitness w1 {vkey}\nquorum w1\n")
    arguments = ("verify", "--from", log.directory, "--policy", policy)
    result = run(*arguments)
    assert (result.exit_code, "too few witnesses" in result.stderr) == (1, True)

    note = (log.directory / "checkpoint").read_bytes()
    text = note.decode().partition("\n\n")[0] + "\n"
    line = cosign(text, witness, "witness.example/w1", at=datetime(2026, 11, 23, tzinfo=UTC))
    junk = "— grease.example AAAAAAAAAAAA\n"
    (log.directory / "checkpoint").write_bytes(note + f"{line}\n{junk}".encode())
    assert "all 700 entries verify" in run(*arguments).stdout

    policy.write_text(f"log {log.vkey}\nquorum w1\n")
    assert run(*arguments).exit_code == 2


def test_a_policy_that_has_grown_makes_nothing_remembered_unusable(log: BuiltLog, tmp_path: Path) -> None:
    state, policy = tmp_path / "seen.checkpoint", tmp_path / "policy.txt"
    arguments = ("verify", "--from", log.directory, "--policy", policy, "--state", state)
    policy.write_text(f"log {log.vkey}\nquorum none\n")
    assert run(*arguments).exit_code == 0
    witness = cosignature_key_of(PrivateKeySigner.generate("Ed25519"), "witness.example/w1").encode()
    policy.write_text(f"log {log.vkey}\nwitness w1 {witness}\nquorum w1\n")
    assert "too few witnesses" in run(*arguments).stderr, "the log fails, the memory does not"


def test_an_archive_does_not_pass_for_the_whole_log(log: BuiltLog) -> None:
    (log.directory / "range.json").write_text('{"format": "gateway-log-range/1", "first": 256, "end": 512}')
    (log.directory / "tile/entries/000").unlink()
    result = run("verify", "--from", log.directory, "--key", log.vkey)
    assert (result.exit_code, "add --archive" in result.stderr) == (1, True)
    result = run("verify", "--from", log.directory, "--key", log.vkey, "--archive")
    assert "entries 256 to 511 of 700 verify; the archive holds no others" in result.stdout


def test_any_entry_is_proved_by_whoever_reads_the_log(log: BuiltLog, address: str, tmp_path: Path) -> None:
    folder = tmp_path / "proofs"
    arguments = ("prove", "--from", address, "--key", log.vkey, "-o", folder)
    assert run(*arguments, "--index", 0, "--index", 699).exit_code == 0
    for index in (0, 699):
        proof = parse_log_proof((folder / f"entry-{index}.tlog-proof").read_bytes())
        entry = b64_decode(json.loads(proof.extra or b"")["entry"])
        assert entry == log.entries[index]
        assert verify_log_proof(entry, proof, [parse_verifier_key(log.vkey)]).size == 700
    assert "the log has 700 entries" in run(*arguments, "--index", 700).stderr


def test_growth_is_proved(log: BuiltLog) -> None:
    result = run("prove", "--from", log.directory, "--key", log.vkey, "--from-size", 300)
    growth = json.loads(result.stdout)
    old, new = (root_of(leaf_hash(entry) for entry in log.entries[:size]) for size in (300, 700))
    assert b64_decode(growth["old_root"]) == old
    proof = [b64_decode(item) for item in growth["consistency_proof"]]
    verify_consistency(old_size=300, old_root=old, new_size=700, new_root=new, proof=proof)
    assert run("prove", "--from", log.directory, "--key", log.vkey, "--from-size", 701).exit_code == 1


@pytest.mark.parametrize(
    "spoil",
    [lambda log: log.flip("tile/1/000.p/2", 40), lambda log: log.flip("tile/entries/000", 9)],
    ids=["tile", "entry"],
)
def test_no_proof_leaves_a_damaged_log(log: BuiltLog, spoil: Callable[[BuiltLog], None]) -> None:
    spoil(log)
    result = run("prove", "--from", log.directory, "--key", log.vkey, "--index", 0)
    assert (result.exit_code, result.stdout) == (1, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("prove",),
        ("prove", "--index", "1", "--format", "json"),
        ("prove", "--index", "1", "--index", "2"),
        ("prove", "0190c0de", "--from", "log"),
        ("verify", "--archive"),
        ("monitor", "--from", "log", "--state", "x"),
    ],
)
def test_what_cannot_be_meant_is_refused_as_such(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def monitor(*arguments: object) -> "subprocess.Popen[str]":
    """A monitor as a process of its own, without any setting of a gateway."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("gateway")), "audit", "monitor", *(str(item) for item in arguments)],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_monitor_runs_on_says_what_it_finds_and_ends_when_told(log: BuiltLog, address: str, tmp_path: Path) -> None:
    state = tmp_path / "state" / "monitor.json"
    watching = monitor("--from", address, "--key", log.vkey, "--state", state, "--every", 1, "--json")
    try:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert (first["size"], first["new"]) == (700, 700)
        log.publish(entries_up_to(800)[700:])
        assert json.loads(watching.stdout.readline())["new"] == 100
        log.flip("checkpoint", 5)
        alarm = json.loads(watching.stdout.readline())
        assert (alarm["level"], alarm["alert"]) == ("error", "log_not_verified")
        log.flip("checkpoint", 5)
        assert json.loads(watching.stdout.readline())["ended"] == "log_not_verified"
        watching.send_signal(signal.SIGTERM)
        _rest, said = watching.communicate(timeout=30)
    finally:
        watching.kill()
        watching.wait()
    assert (watching.returncode, said) == (0, "")

    log.flip("checkpoint", 5)
    again = monitor("--from", address, "--key", log.vkey, "--state", state, "--once")
    told, _said = again.communicate(timeout=30)
    assert again.returncode == 1
    assert "ALARM log_not_verified" in told


def test_a_monitor_that_is_told_to_stop_does_not_finish_a_long_look_first(
    log: BuiltLog, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.publish(entries_up_to(20_000)[700:])
    reached, let_through = threading.Event(), threading.Event()
    monkeypatch.setattr(_Files, "gate", ("/log/tile/entries/005", reached, let_through))
    watching = monitor("--from", address, "--key", log.vkey, "--state", tmp_path / "monitor.json")
    try:
        assert reached.wait(timeout=50), "it looks"
        watching.send_signal(signal.SIGTERM)
        let_through.set()
        told, _said = watching.communicate(timeout=30)
    finally:
        let_through.set()
        watching.kill()
        watching.wait()
    assert (watching.returncode, told) == (0, "")
    assert not (tmp_path / "monitor.json").exists()
