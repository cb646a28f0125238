"""Whoever changes a published log, or a row behind it, is found out, and the place is named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from gateway.audit.checking.rows import rows_check
from gateway.audit.checking.sources import MAX_FILE_BYTES, FileSource, HttpSource
from gateway.audit.checking.verify import VerifiedLog, verify_log
from gateway.audit.errors import LogNotVerified, LogUnreadable
from gateway.audit.models import EventRow
from gateway.errors import GatewayError
from gateway.wire.encoding import b64_encode
from gateway.wire.merkle import leaf_hash, root_of
from gateway.wire.notes import Checkpoint, sign_note, verifier_key_of
from gateway.wire.signer import PrivateKeySigner
from gateway.wire.tiles import decode_entry_bundle, encode_entry_bundle
from tests.kit.log import ORIGIN, TestLog


def verified(log: TestLog, *, rows: bool = False) -> VerifiedLog:
    check = rows_check(log.database, audit_log=log.audit) if rows else None
    return verify_log(FileSource(log.files), vkey=log.vkey, check_entries=check)


def refusal(log: TestLog, *, rows: bool = False) -> str:
    with pytest.raises(LogNotVerified) as refused:
        verified(log, rows=rows)
    return refused.value.public


def change(path: Path, alter: Callable[[bytes], bytes]) -> None:
    path.write_bytes(alter(path.read_bytes()))


def flip(at: int) -> Callable[[bytes], bytes]:
    def flipped(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    return flipped


def test_a_sound_log_verifies_with_its_rows_and_tells_how_far_it_is(log: TestLog) -> None:
    log.record(600)
    log.publish()
    seen: list[tuple[int, int]] = []
    done = verify_log(
        FileSource(log.files),
        vkey=log.vkey,
        progress=lambda done, total: seen.append((done, total)),
        check_entries=rows_check(log.database, audit_log=log.audit),
    )
    assert (done.origin, done.size) == (ORIGIN, 600)
    assert seen == [(256, 600), (512, 600), (600, 600)]
    assert f"\n{b64_encode(done.root)}\n" in (log.files / "checkpoint").read_text()


def test_events_not_published_yet_do_not_disturb(log: TestLog) -> None:
    log.record(3)
    log.publish()
    log.record(2)
    assert verified(log, rows=True).size == 3


@pytest.mark.parametrize("index", [0, 255, 256, 599])
def test_an_edited_row_is_named_by_its_index(log: TestLog, index: int) -> None:
    log.record(600)
    log.publish()
    with log.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == index)).one()
        row.leaf = row.leaf.replace(b'"outcome":"disclosed"', b'"outcome":"refused"')
        row.leaf_hash = leaf_hash(row.leaf)
    assert verified(log).size == 600, "outsiders hold the true log"
    assert f"entry {index} in the database" in refusal(log, rows=True)


def test_a_deleted_row_is_named_by_its_index(log: TestLog) -> None:
    log.record(5)
    log.publish()
    with log.database.write() as session:
        session.execute(update(EventRow).where(EventRow.leaf_index == 3).values(leaf_index=None))
    assert "entry 3 is published, but the database has lost it" in refusal(log, rows=True)


def test_edited_details_are_named_by_their_index(log: TestLog) -> None:
    log.record(5)
    log.publish()
    with log.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.leaf_index == 4)).one()
        row.details = flip(30)(row.details)
    assert "details of entry 4" in refusal(log, rows=True)


def test_erased_details_leave_the_log_sound(log: TestLog) -> None:
    log.record(5)
    log.publish()
    log.subject_keys.destroy("person-1")
    assert verified(log, rows=True).size == 5


@pytest.mark.parametrize("index", [0, 254, 300, 599])
def test_an_edited_entry_is_named_by_its_index(log: TestLog, index: int) -> None:
    log.record(600)
    log.publish()
    name = {0: "000", 1: "001", 2: "002.p/88"}[index // 256]

    def edit(bundle: bytes) -> bytes:
        entries = decode_entry_bundle(bundle)
        entries[index % 256] = entries[index % 256].replace(b"dwp", b"hmr")
        return encode_entry_bundle(entries)

    change(log.files / "tile/entries" / name, edit)
    assert refusal(log) == f"entry {index} is not the one in the tree"


def test_an_edited_entry_with_its_leaf_hash_is_found_in_the_tile_above(log: TestLog) -> None:
    log.record(600)
    log.publish()
    entries: list[bytes] = []

    def edit(bundle: bytes) -> bytes:
        entries.extend(decode_entry_bundle(bundle))
        entries[7] = b"another story"
        return encode_entry_bundle(entries)

    change(log.files / "tile/entries/001", edit)
    hashes = [leaf_hash(entry) for entry in entries]
    (log.files / "tile/0/001").write_bytes(b"".join(hashes))
    assert refusal(log) == "tile/1/000.p/2 disagrees with entries 256 to 511"

    # And with every tile rewritten: the signed root is another one.
    change(log.files / "tile/1/000.p/2", lambda tile: tile[:32] + root_of(hashes))
    assert "lead to another root than the signed one" in refusal(log)


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"])
@pytest.mark.parametrize("alter", [flip(0), flip(-1), lambda data: data[:-1], lambda data: data[:-32], lambda _: b""])
def test_a_flipped_or_shortened_tile_is_noticed(log: TestLog, name: str, alter: Callable[[bytes], bytes]) -> None:
    log.record(600)
    log.publish()
    change(log.files / name, alter)
    refusal(log)


def one_entry_less(bundle: bytes) -> bytes:
    return encode_entry_bundle(decode_entry_bundle(bundle)[:-1])


@pytest.mark.parametrize(
    "alter",
    [flip(0), flip(-1), lambda data: data[:-1], lambda _: b"", one_entry_less],
    ids=["first bit", "last bit", "cut", "empty", "one entry less"],
)
def test_a_flipped_or_shortened_bundle_is_noticed(log: TestLog, alter: Callable[[bytes], bytes]) -> None:
    log.record(3)
    log.publish()
    change(log.files / "tile/entries/000.p/3", alter)
    refusal(log)


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"])
def test_a_missing_file_is_named(log: TestLog, name: str) -> None:
    log.record(3)
    log.publish()
    (log.files / name).unlink()
    with pytest.raises(LogUnreadable) as missing:
        verified(log)
    assert name.rpartition("/")[2] in missing.value.public


@pytest.mark.parametrize("name", ["checkpoint", "tile/entries/000.p/3"])
def test_a_folder_from_strangers_neither_holds_up_nor_fills_whoever_checks_it(log: TestLog, name: str) -> None:
    log.record(3)
    log.publish()
    (log.files / name).unlink()
    os.mkfifo(log.files / name)
    with pytest.raises(LogUnreadable, match=name):
        verify_log(FileSource(log.files), vkey=log.vkey)
    (log.files / name).unlink()
    (log.files / name).symlink_to("/dev/zero")
    with pytest.raises(LogUnreadable, match=name):
        verify_log(FileSource(log.files), vkey=log.vkey)
    (log.files / name).unlink()
    with (log.files / name).open("wb") as huge:
        huge.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(LogUnreadable, match=name):
        verify_log(FileSource(log.files), vkey=log.vkey)


def test_a_log_cut_short_is_noticed_even_with_all_tiles_of_its_shorter_self(log: TestLog, tmp_path: Path) -> None:
    log.record(3)
    log.publish()
    shutil.copytree(log.files, tmp_path / "shorter")
    log.record(2)
    log.publish()
    change(log.files / "checkpoint", lambda note: note.replace(b"\n5\n", b"\n3\n"))
    assert refusal(log).startswith("the checkpoint")


def test_another_key_or_another_log_is_refused(log: TestLog) -> None:
    log.record(1)
    log.publish()
    stranger = verifier_key_of(PrivateKeySigner.generate("Ed25519"), ORIGIN).encode()
    with pytest.raises(LogNotVerified):
        verify_log(FileSource(log.files), vkey=stranger)
    # A checkpoint of another log, truly signed with the same key.
    other = Checkpoint(origin="other.example/log", size=1, root=b"\x00" * 32)
    (log.files / "checkpoint").write_bytes(sign_note(other.encode(), log.signer, "other.example/log"))
    refusal(log)


def test_every_tile_that_a_checkpoint_refers_to_is_there(log: TestLog) -> None:
    """C2SP tlog-tiles: partial tiles of every published size too; they go only once the full one is there."""
    for _ in range(3):
        log.record(100)
        log.publish()
    names = {str(path.relative_to(log.files)) for path in (log.files / "tile").rglob("*") if path.is_file()}
    assert names == {
        *("tile/0/000.p/100", "tile/0/000.p/200", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"),
        *("tile/entries/000.p/100", "tile/entries/000.p/200", "tile/entries/000", "tile/entries/001.p/44"),
    }


@pytest.mark.parametrize("address", ["ftp://localhost/log", "file:///etc", "http://", "//x"])
def test_only_web_addresses_are_read_over_the_web(address: str) -> None:
    with pytest.raises(GatewayError):
        HttpSource(address)
