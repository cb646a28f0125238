"""`gateway audit witness`: a witness on a machine that knows nothing of any gateway."""

import signal
import sys
import threading
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from gateway.audit.witness.commands import witness_group
from gateway.wire.cosignatures import cosignatures_of, parse_cosignature_key
from gateway.wire.notes import verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from tests.kit.processes import Processes, free_port
from tests.kit.statements import ORIGIN, MemoryLog
from tests.kit.witnessing import WITNESS_NAME, asking, entries

LOG_KEY = PrivateKeySigner.generate("Ed25519")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(witness_group, [str(argument) for argument in arguments])


def logs_file(folder: Path, *more: str) -> Path:
    path = folder / "logs.txt"
    path.write_text(f"# whom we witness\nlog {verifier_key_of(LOG_KEY, ORIGIN).encode()}\n{''.join(more)}quorum none\n")
    return path


def test_the_key_is_printed_as_policies_want_it(tmp_path: Path) -> None:
    made = run("init", "--state", tmp_path / "w", "--name", WITNESS_NAME)
    assert made.exit_code == 0
    assert parse_cosignature_key(made.output).name == WITNESS_NAME
    assert run("key", "--state", tmp_path / "w").output == made.output
    assert "PRIVATE" not in made.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("quorum none\n", "names none"),
        ("log nonsense\nquorum none\n", "line 1"),
        ("", "quorum"),
        (None, "cannot be read"),
    ],
)
def test_a_list_of_logs_that_is_none_is_refused_before_anything_listens(
    tmp_path: Path, content: str | None, said: str
) -> None:
    run("init", "--state", tmp_path / "w", "--name", WITNESS_NAME)
    path = tmp_path / "logs.txt"
    if content is not None:
        path.write_text(content)
    refused = run("serve", "--state", tmp_path / "w", "--logs", path)
    assert refused.exit_code != 0
    assert said in str(refused.exception)


def test_a_name_with_a_scheme_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    refused = run("init", "--state", tmp_path / "w", "--name", f"https://{WITNESS_NAME}")
    assert refused.exit_code == 2
    assert "without its scheme" in refused.output
    assert not (tmp_path / "w").exists()


def test_a_witness_that_was_never_made_does_not_start(tmp_path: Path) -> None:
    refused = run("serve", "--state", tmp_path / "w", "--logs", logs_file(tmp_path))
    assert "audit witness init" in str(refused.exception)
    assert not (tmp_path / "w").exists()


def test_it_serves_without_any_gateway_in_two_processes_and_reads_its_logs_anew(
    tmp_path: Path, server_processes: Processes
) -> None:
    gateway = [sys.executable, "-m", "gateway", "audit", "witness"]
    vkey = run("init", "--state", tmp_path / "w", "--name", WITNESS_NAME).output
    logs, port = logs_file(tmp_path), free_port()
    url = f"http://127.0.0.1:{port}"
    # No setting of a gateway is in its environment.
    serve = [*gateway, "serve", "--state", str(tmp_path / "w"), "--logs", str(logs), "--listen", f"127.0.0.1:{port}"]
    witness = server_processes.start(serve, env={}, name="witness", ready_url=f"{url}/")
    log = MemoryLog(LOG_KEY)
    log.append(*entries(5))
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{url}/add-checkpoint", data=asking(log, 0), timeout=10)
        assert answer.status_code == 200
        note = log.checkpoint() + answer.content
        assert len(cosignatures_of(note, [parse_cosignature_key(vkey)])) == 1

        # Both processes at once, from one size with many continuations: one of them wins.
        statuses: list[int] = []
        threads = [threading.Thread(target=_post_branch, args=(url, log, number, statuses)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] + [409] * 11

        # A chunked body has no length to be refused by. What is not read to its end ends its connection.
        with requests.Session() as another:
            another.trust_env = False
            endless = another.post(f"{url}/add-checkpoint", data=iter([b"x" * 100_000] * 4), timeout=10)
        assert endless.status_code == 413

        other = MemoryLog(PrivateKeySigner.generate("Ed25519"), "elsewhere.example/log")
        other.append(*entries(3))
        assert session.post(f"{url}/add-checkpoint", data=asking(other, 0), timeout=10).status_code == 404
        logs_file(tmp_path, f"log {verifier_key_of(other.signer, other.origin).encode()}\n")
        witness.process.send_signal(signal.SIGHUP)
        assert _eventually_known(session, url, asking(other, 0))
    assert witness.stop() == 0


def _post_branch(url: str, log: MemoryLog, number: int, statuses: list[int]) -> None:
    branch = MemoryLog(LOG_KEY)
    branch.append(*log.entries, *entries(3, of=f"branch {number}"))
    with requests.Session() as session:
        session.trust_env = False
        statuses.append(session.post(f"{url}/add-checkpoint", data=asking(branch, 5), timeout=30).status_code)


def _eventually_known(session: requests.Session, url: str, body: bytes) -> bool:
    # The processes are replaced one after the other, and an old one may still answer.
    return any(session.post(f"{url}/add-checkpoint", data=body, timeout=10).status_code == 200 for _ in range(500))
