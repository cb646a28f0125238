"""The log over the web, to the letter of C2SP, read with software that is not ours (`tlog-scales`) and public keys.

tlog-tiles (addresses, headers, partial tiles), tlog-checkpoint and signed-note (lines by others), tlog-cosignature and
tlog-witness (a real witness in a process of its own), tlog-proof.
"""

import sys
from pathlib import Path

import requests
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, InclusionProof

from gateway.wire.log_proofs import LogProof, parse_log_proof, verify_log_proof
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import SignatureLine, add_signatures, open_checkpoint
from gateway.wire.trust_policy import parse_policy
from gateway.wire.witness_requests import AddCheckpoint
from tests.kit.processes import Processes, free_port
from tests.kit.witnessing import WITNESS_NAME
from tests.kit.world import World


class Reader(TilesReader):
    """An outsider at one moment: the checkpoint it read, and proofs under it from tiles over the web."""

    def __init__(self, world: World) -> None:
        super().__init__(HttpBackend(f"{world.issuer}/log"))
        self.checkpoint: Checkpoint = self.get_checkpoint()
        self.note = self.checkpoint.serialize().encode()
        self.entries: int = self.checkpoint.size


def get(world: World, path: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{world.issuer}/log/{path}", headers=headers, timeout=10)


def test_an_outsider_verifies_every_entry_and_proof_of_a_running_gateways_log(world: World) -> None:
    reader = Reader(world)
    reader.checkpoint.verify(Vkey.from_string(world.gateway.log_key.encode()))
    root = reader.checkpoint.root_hash
    assert reader.entries > 0
    assert reader.calculate_root_hash() == root
    for index in range(reader.entries):
        reader.get_inclusion_proof(index, reader.entries).check(leaf_hash(reader.get_entry(index)), root)
    for old in range(1, reader.entries):
        reader.get_consistency_proof(old, reader.entries).check(reader.mth(0, old), root)


def test_every_answer_has_the_type_and_the_caching_it_should_have(world: World) -> None:
    size = Reader(world).entries
    checkpoint = get(world, "checkpoint")
    assert checkpoint.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["Cache-Control"] == "no-store"
    for name in (f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}") if size < 256 else ("tile/0/000",):
        answer = get(world, name)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert "immutable" in answer.headers["Cache-Control"]
        # Who asks for it plain gets it plain.
        assert "Content-Encoding" not in get(world, name, **{"Accept-Encoding": "identity"}).headers
    for missing in ("tile/0/999", "tile/0/000.p/0", "tile/0/000.p/256", "tile/64/000", "tile/00/000"):
        absent = get(world, missing)
        assert absent.status_code == 404
        assert absent.headers["Cache-Control"] == "no-store"  # it may come to be


def test_a_proof_file_made_of_tiles_over_the_web_holds_for_others_software_and_ours(world: World) -> None:
    reader = Reader(world)
    for index in {0, reader.entries // 2, reader.entries - 1}:
        entry = reader.get_entry(index)
        path = reader.get_inclusion_proof(index, reader.entries).node_hashes
        file = LogProof(index=index, hashes=tuple(path), checkpoint=reader.note).encode()
        proof = parse_log_proof(file)
        assert verify_log_proof(entry, proof, world.gateway.log_keys.known).size == reader.entries
        theirs = InclusionProof(proof.index, reader.entries, list(proof.hashes))
        theirs.check(leaf_hash(entry), reader.checkpoint.root_hash)


def test_a_real_witness_cosigns_the_running_gateways_log_as_it_grows(
    world: World, tmp_path: Path, server_processes: Processes
) -> None:
    log_vkey = world.gateway.log_key.encode()
    (tmp_path / "logs.txt").write_text(f"log {log_vkey}\nquorum none\n")
    port = free_port()
    command, state = [sys.executable, "-m", "gateway", "audit", "witness"], str(tmp_path / "witness")
    made = server_processes.start([*command, "init", "--state", state, "--name", WITNESS_NAME], env={}, name="init")
    assert made.process.wait(30) == 0
    witness_vkey = made.output().strip()
    serve = [*command, "serve", "--state", state, "--logs", str(tmp_path / "logs.txt"), f"--listen=127.0.0.1:{port}"]
    server_processes.start(serve, env={}, name="witness", ready_url=f"http://127.0.0.1:{port}/")
    policy = parse_policy(f"log {log_vkey}\nwitness w {witness_vkey}\nquorum w\n".encode())

    old = 0
    for _ in range(2):
        # The proof is an independent reader's, from the gateway's tiles.
        reader = grown(world, beyond=old)
        proof = reader.get_consistency_proof(old, reader.entries).node_hashes if old else []
        body = AddCheckpoint(old_size=old, proof=tuple(proof), checkpoint=reader.note).encode()
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(f"http://127.0.0.1:{port}/add-checkpoint", data=body, timeout=10)
        assert answer.status_code == 200
        cosigned = reader.note + answer.content
        # Both lines verify with others' software, and the file satisfies a policy that asks for the witness.
        theirs = Checkpoint.from_text(cosigned.decode())
        theirs.verify(Vkey.from_string(log_vkey))
        theirs.verify(Vkey.from_string(witness_vkey))
        entry, path = (
            reader.get_entry(reader.entries - 1),
            reader.get_inclusion_proof(reader.entries - 1, reader.entries).node_hashes,
        )
        file = LogProof(index=reader.entries - 1, hashes=tuple(path), checkpoint=cosigned).encode()
        assert verify_log_proof(entry, parse_log_proof(file), policy).size == reader.entries
        old = reader.entries


def test_lines_of_kinds_that_nobody_knows_yet_disturb_no_reader(world: World) -> None:
    reader, key = Reader(world), world.gateway.log_key
    junk = [
        SignatureLine(name=key.name, key_id=b"\xff\xff\xff\xff", signature=b"\xff" + bytes(2420)).encode(),
        SignatureLine(name="grease.example/\u2603", key_id=key.key_id, signature=b"\x00").encode(),
    ]
    note = add_signatures(reader.note, junk)
    assert open_checkpoint(note, [key]).size == reader.entries
    Checkpoint.from_text(note.decode()).verify(Vkey.from_string(key.encode()))


def grown(world: World, *, beyond: int) -> Reader:
    """Make the log grow, and read it once it is larger."""
    world.asking()  # an agreement of its own: its import is an entry
    while (reader := Reader(world)).entries <= beyond:
        pass
    return reader
