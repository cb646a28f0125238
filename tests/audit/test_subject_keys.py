"""Keys are made once, durably, and named so that a listing tells nothing."""

import fcntl
import hashlib
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

import pytest

from gateway.audit.subject_keys import SubjectKeys


def test_a_subject_keeps_its_key_and_shares_it_with_nobody(tmp_path: Path) -> None:
    first, again = SubjectKeys(tmp_path / "keys"), SubjectKeys(tmp_path / "keys")
    assert first.key_for("person-1") == again.key_for("person-1")
    keys = {first.key_for(subject).key for subject in ("person-1", "person-2", None, "None", "", "general")}
    assert len(keys) == 6
    assert all(len(key) == 32 for key in keys)


def test_nothing_is_written_before_a_key_is_needed(tmp_path: Path) -> None:
    SubjectKeys(tmp_path / "keys")
    assert not (tmp_path / "keys").exists()


def test_a_listing_of_the_directory_names_nobody(tmp_path: Path) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    keys.key_for("QQ123456C")
    names = "".join(str(path) for path in (tmp_path / "keys").rglob("*"))
    assert "QQ123456C" not in names
    for guess in (b"QQ123456C", b"subject\x00QQ123456C"):
        assert hashlib.sha256(guess).hexdigest() not in names
    # Another installation has other names for the same people.
    assert SubjectKeys(tmp_path / "other").tag("x") != keys.tag("x")


def test_only_the_gateway_may_read_the_keys(tmp_path: Path) -> None:
    SubjectKeys(tmp_path / "keys").key_for("person-1")
    for path in [tmp_path / "keys", *(tmp_path / "keys").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_many_at_once_make_one_key(tmp_path: Path) -> None:
    found: list[bytes] = []
    start = threading.Barrier(16)

    def ask() -> None:
        keys = SubjectKeys(tmp_path / "keys")
        start.wait()
        found.append(keys.key_for("person-1").key)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1


def test_a_destroyed_key_is_gone_and_a_later_one_is_another(tmp_path: Path) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    used = keys.key_for("person-1")
    assert keys.find_key(used.tag, used.key_id) == used.key
    assert keys.destroy("person-1")
    assert keys.find_key(used.tag, used.key_id) is None
    later = keys.key_for("person-1")
    assert later.key != used.key
    assert keys.find_key(used.tag, used.key_id) is None
    assert not any(used.key in path.read_bytes() for path in (tmp_path / "keys").rglob("*") if path.is_file())


def test_a_damaged_key_is_an_error_and_never_replaced(tmp_path: Path) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    [path] = [tmp_path / "keys" / key.tag[:2] / key.tag for key in [keys.key_for("person-1")]]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match="damaged"):
        keys.key_for("person-1")


def test_what_a_key_is_stays_out_of_representations(tmp_path: Path) -> None:
    key = SubjectKeys(tmp_path / "keys").key_for("person-1")
    assert repr(key.key) not in repr(key)


DESTROYING = """
import sys
from pathlib import Path
from gateway.audit.subject_keys import SubjectKeys

keys = SubjectKeys(Path(sys.argv[1]))
assert keys.destroy("person-1")
if sys.argv[2] == "and make anew":
    keys.key_for("person-1")
"""


@pytest.mark.parametrize("then", ["and stop", "and make anew"])
def test_what_another_process_destroyed_is_never_used_again(tmp_path: Path, then: str) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    used = [keys.key_for("person-1") for _ in range(3)][-1]
    subprocess.run([sys.executable, "-c", DESTROYING, str(tmp_path / "keys"), then], check=True)
    later = keys.key_for("person-1")
    assert later.key_id != used.key_id
    assert later.key != used.key
    assert keys.find_key(later.tag, later.key_id) == later.key
    assert keys.key_for("person-1") == later


def test_no_persons_key_stays_in_memory(tmp_path: Path) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    used = [keys.key_for("person-1") for _ in range(3)][-1]
    assert used.key not in repr(vars(keys)).encode("latin-1", "replace")
    assert repr(used.key) not in repr(vars(keys))


def test_a_key_file_that_is_put_in_the_place_of_another_is_what_counts(tmp_path: Path) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    used = [keys.key_for("person-1") for _ in range(3)][-1]
    path = tmp_path / "keys" / used.tag[:2] / used.tag
    path.write_bytes(bytes(48))
    assert keys.key_for("person-1").key == bytes(32)


def test_a_file_that_may_not_be_durable_yet_is_not_used_before_its_maker_is_done(tmp_path: Path) -> None:
    keys = SubjectKeys(tmp_path / "keys")
    used = keys.key_for("person-1")
    shard = tmp_path / "keys" / used.tag[:2]
    making = os.open(shard, os.O_RDONLY | os.O_DIRECTORY)
    with ThreadPoolExecutor(1) as pool:
        try:
            fcntl.flock(making, fcntl.LOCK_EX)
            assert keys.key_for("person-1") == used, "a file known to be durable waits for nobody"
            (shard / "unfinished").write_bytes(bytes(48))
            (shard / "unfinished").rename(shard / used.tag)
            asked = pool.submit(keys.key_for, "person-1")
            with pytest.raises(NotYet):
                asked.result(timeout=0.3)
        finally:
            os.close(making)
        assert asked.result().key == bytes(32)
