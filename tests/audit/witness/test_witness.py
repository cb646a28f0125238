"""What a witness answers, in the words of C2SP tlog-witness; and that no order of requests makes it cosign a fork."""

import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tlog_scales import signing, tlog

from gateway.wire.cosignatures import cosign, cosignatures_of
from gateway.wire.encoding import b64_encode
from gateway.wire.notes import Checkpoint, SignatureLine, add_signatures, sign_note, split_note, verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.witness_requests import MAX_REQUEST_BYTES
from tests.kit.clock import MIDDAY, FrozenClock
from tests.kit.statements import ORIGIN, MemoryLog
from tests.kit.witnessing import WITNESS_NAME, TestWitness, a_witness, asking, entries

LOG_KEY = PrivateKeySigner.generate("Ed25519")


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog(LOG_KEY)
    log.append(*entries(5))
    return log


@pytest.fixture
def watching(tmp_path: Path, log: MemoryLog, clock: FrozenClock) -> TestWitness:
    return a_witness(tmp_path / "witness", log, clock=clock)


@pytest.fixture
def client(watching: TestWitness) -> FlaskClient:
    return watching.client()


def ask(client: FlaskClient, body: bytes) -> tuple[int, bytes]:
    answer = client.post("/add-checkpoint", data=body)
    if answer.status_code == 409:
        assert answer.headers["Content-Type"] == "text/x.tlog.size"
    return answer.status_code, answer.data


def test_a_checkpoint_is_cosigned_so_that_others_can_verify_it(
    client: FlaskClient, watching: TestWitness, log: MemoryLog
) -> None:
    status, lines = ask(client, asking(log, 0))
    assert status == 200
    assert lines.startswith(f"— {WITNESS_NAME} ".encode())
    assert lines.count(b"\n") == 1
    assert lines.endswith(b"\n")
    key = watching.witness().key
    (cosignature,) = cosignatures_of(log.checkpoint() + lines, [key])
    assert cosignature.at == int(MIDDAY.timestamp())
    theirs = tlog.Checkpoint.from_text((log.checkpoint() + lines).decode())
    theirs.verify(signing.Vkey.from_string(key.encode()))


def test_a_log_that_grows_is_cosigned_step_by_step_over_restarts(watching: TestWitness, log: MemoryLog) -> None:
    old = 0
    for more in (1, 2, 300, 7):
        assert ask(watching.client(), asking(log, old))[0] == 200
        old = len(log.entries)
        assert watching.remembered_size(ORIGIN) == old
        log.append(*entries(more, of=f"more {more}"))


def test_the_same_checkpoint_is_cosigned_again(client: FlaskClient, log: MemoryLog) -> None:
    assert ask(client, asking(log, 0))[0] == 200
    assert ask(client, asking(log, 5))[0] == 200
    assert ask(client, asking(log, 5))[0] == 200


def test_an_empty_log_is_cosigned_and_only_with_the_empty_root(client: FlaskClient) -> None:
    forged = sign_note(Checkpoint(origin=ORIGIN, size=0, root=bytes(32)).encode(), LOG_KEY, ORIGIN)
    empty = MemoryLog(LOG_KEY)
    assert ask(client, asking(empty, 0, checkpoint=forged)) == (409, b"0\n")
    assert ask(client, asking(empty, 0))[0] == 200


def test_an_unknown_log_is_not_found(client: FlaskClient) -> None:
    other = MemoryLog(LOG_KEY, "elsewhere.example/log")
    other.append(*entries(3))
    assert ask(client, asking(other, 0))[0] == 404


def test_a_checkpoint_that_no_known_key_signed_is_forbidden(client: FlaskClient, log: MemoryLog) -> None:
    stranger = PrivateKeySigner.generate("Ed25519")
    unsigned = sign_note(split_note(log.checkpoint())[0], stranger, ORIGIN)
    assert ask(client, asking(log, 0, checkpoint=unsigned))[0] == 403
    # The line is by the key's name and id, and false.
    key = verifier_key_of(LOG_KEY, ORIGIN)
    false_line = SignatureLine(name=ORIGIN, key_id=key.key_id, signature=bytes(64)).encode()
    assert ask(client, asking(log, 0, checkpoint=add_signatures(unsigned, [false_line])))[0] == 403
    # Signed by the log's key under another origin's name.
    renamed = sign_note(split_note(log.checkpoint())[0], LOG_KEY, "other.example/log")
    assert ask(client, asking(log, 0, checkpoint=renamed))[0] == 403


def test_lines_by_unknown_keys_are_ignored(client: FlaskClient, log: MemoryLog) -> None:
    text = split_note(log.checkpoint())[0]
    others = [
        SignatureLine(name="grease.example", key_id=b"\xff\x00\xff\x00", signature=bytes(4000)).encode(),
        SignatureLine(name=ORIGIN, key_id=b"\x00\x00\x00\x01", signature=b"\xfajunk").encode(),
        cosign(text, PrivateKeySigner.generate("Ed25519"), "another.example/witness", at=MIDDAY),
    ]
    assert ask(client, asking(log, 0, checkpoint=add_signatures(log.checkpoint(), others)))[0] == 200


def test_an_old_size_above_the_new_one_is_a_bad_request(client: FlaskClient, log: MemoryLog) -> None:
    assert ask(client, asking(log, 6))[0] == 400


def test_another_old_size_is_a_conflict_that_tells_the_size(client: FlaskClient, log: MemoryLog) -> None:
    assert ask(client, asking(log, 3)) == (409, b"0\n")
    assert ask(client, asking(log, 0))[0] == 200
    log.append(*entries(4, of="more"))
    for wrong in (0, 4, 6, 9):
        assert ask(client, asking(log, wrong)) == (409, b"5\n")
    assert ask(client, asking(log, 5))[0] == 200


def test_a_proof_that_does_not_verify_is_unprocessable(
    client: FlaskClient, watching: TestWitness, log: MemoryLog
) -> None:
    assert ask(client, asking(log, 0, proof=[bytes(32)]))[0] == 422
    assert ask(client, asking(log, 0))[0] == 200
    assert ask(client, asking(log, 5, proof=[bytes(32)]))[0] == 422
    log.append(*entries(4, of="more"))
    for proof in ([], [bytes(32)], [bytes(32)] * 63):
        assert ask(client, asking(log, 5, proof=proof))[0] == 422
    assert watching.remembered_size(ORIGIN) == 5


def test_a_fork_is_never_cosigned_and_is_told_of_with_both_signed_notes(
    client: FlaskClient, watching: TestWitness, log: MemoryLog
) -> None:
    first = log.checkpoint()
    assert ask(client, asking(log, 0))[0] == 200
    forked = MemoryLog(LOG_KEY)
    forked.append(*entries(5, of="other"))
    with capture_logs() as lines:
        for old in (5, 0):
            assert ask(client, asking(forked, old)) == (409, b"5\n")
    said = [line for line in lines if "alert" in line]
    assert [line["alert"] for line in said] == ["witnessed_fork"]  # repeated at most once a minute
    assert said[0]["log_level"] == "error"
    assert (said[0]["cosigned"], said[0]["refused"]) == (first.decode(), forked.checkpoint().decode())
    # Nor does the fork get in by growing.
    forked.append(*entries(3, of="other still"))
    assert ask(client, asking(forked, 5))[0] == 422
    assert ask(client, asking(forked, 0)) == (409, b"5\n")
    log.append(*entries(2, of="more"))
    assert ask(client, asking(log, 5))[0] == 200
    assert watching.remembered_size(ORIGIN) == 7


def test_logs_are_remembered_apart(tmp_path: Path, log: MemoryLog, clock: FrozenClock) -> None:
    other = MemoryLog(PrivateKeySigner.generate("Ed25519"), "elsewhere.example/log")
    other.append(*entries(9))
    watching = a_witness(tmp_path / "both", log, other, clock=clock)
    assert ask(watching.client(), asking(log, 0))[0] == 200
    assert ask(watching.client(), asking(other, 0))[0] == 200
    assert (watching.remembered_size(ORIGIN), watching.remembered_size(other.origin)) == (5, 9)


def test_a_rotated_key_goes_on_where_the_old_one_was(tmp_path: Path, log: MemoryLog, clock: FrozenClock) -> None:
    renewed = MemoryLog(PrivateKeySigner.generate("Ed25519"))
    renewed.append(*log.entries)
    watching = a_witness(tmp_path / "rotated", log, renewed, clock=clock)
    assert ask(watching.client(), asking(log, 0))[0] == 200
    renewed.append(*entries(2, of="more"))
    assert ask(watching.client(), asking(renewed, 5))[0] == 200
    # The old key is given up: what was signed with it alone counts no more, what is remembered does.
    only_new = TestWitness(directory=watching.directory, keys=watching.keys[1:], clock=clock)
    assert ask(only_new.client(), asking(log, 5))[0] == 403
    assert ask(only_new.client(), asking(renewed, 7))[0] == 200


NOTE = "origin\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— name AAAAAAA=\n"
HASH = b64_encode(bytes(32))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "old 0",
        "old 0\n",
        "old 0\n\n",
        f"old 0\n{NOTE}",
        f"old 00\n\n{NOTE}",
        f"old -1\n\n{NOTE}",
        f"old +0\n\n{NOTE}",
        f"old  0\n\n{NOTE}",
        f"old 0 \n\n{NOTE}",
        f"old ٣\n\n{NOTE}",
        f"old {'9' * 20}\n\n{NOTE}",
        f"Old 0\n\n{NOTE}",
        f"old 0\r\n\r\n{NOTE}",
        f"old 0\nAAAA\n\n{NOTE}",
        f"old 0\n{HASH[:-1]}\n\n{NOTE}",
        f"old 0\n {HASH}\n\n{NOTE}",
        "old 0\n" + f"{HASH}\n" * 64 + f"\n{NOTE}",
        f"old 0\n\n{NOTE[:-1]}",
        f"old 0\n\n{NOTE}\n",
        "old 0\n\norigin\n1\n\n— name AAAAAAA=\n",
        f"old 0\n\n{NOTE.replace('origin', 'ori' + chr(9) + 'gin')}",
    ],
)
def test_a_malformed_body_is_a_bad_request(client: FlaskClient, watching: TestWitness, body: str) -> None:
    assert ask(client, body.encode())[0] == 400
    assert ask(client, body.encode() + b"\xff")[0] == 400
    assert watching.remembered_size(ORIGIN) == 0


def test_a_body_that_is_too_large_is_not_read(client: FlaskClient) -> None:
    assert ask(client, b"x" * (MAX_REQUEST_BYTES + 1))[0] == 413


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_checkpoints_are_only_posted(client: FlaskClient, method: str) -> None:
    assert client.open("/add-checkpoint", method=method).status_code == 405
    assert client.post("/").status_code == 404


def test_many_at_once_leave_one_history(watching: TestWitness, log: MemoryLog) -> None:
    """Threads with witnesses of their own, as processes have, race from the same size with different continuations."""
    assert ask(watching.client(), asking(log, 0))[0] == 200
    bodies = []
    for number in range(8):
        branch = MemoryLog(LOG_KEY)
        branch.append(*log.entries, *entries(3 + number % 4, of=f"branch {number}"))
        bodies.append((asking(branch, 5), branch))
    answers: dict[int, tuple[int, bytes]] = {}
    barrier = threading.Barrier(len(bodies))

    def race(number: int, post: Callable[[bytes], tuple[int, bytes]]) -> None:
        barrier.wait()
        answers[number] = post(bodies[number][0])

    threads = []
    for number in range(len(bodies)):
        client = watching.client()
        threads.append(threading.Thread(target=race, args=(number, lambda body, client=client: ask(client, body))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(status for status, _ in answers.values()) == {200: 1, 409: 7}
    (winner,) = [number for number, (status, _) in answers.items() if status == 200]
    assert watching.remembered_size(ORIGIN) == len(bodies[winner][1].entries)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 12)), max_size=12))
def test_whatever_is_asked_all_that_was_cosigned_is_one_history(
    steps: list[tuple[bool, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two histories that part after entry 4 are offered in any order, with any claimed old size."""
    histories = [entries(12), entries(4) + entries(8, of="other")]
    offered = MemoryLog(LOG_KEY)
    watching = a_witness(tmp_path_factory.mktemp("any") / "w", offered, clock=FrozenClock())
    client, cosigned = watching.client(), []
    for which, old, size in steps:
        log = MemoryLog(LOG_KEY)
        log.append(*histories[which][:size])
        if ask(client, asking(log, old))[0] == 200:
            cosigned.append(histories[which][:size])
    for earlier, later in pairwise(cosigned):
        assert later[: len(earlier)] == earlier
