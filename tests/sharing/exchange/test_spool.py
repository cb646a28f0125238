"""A file of the spool opens as it was written, or not at all."""

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from gateway.sharing.exchange.documents import spool as spool_module
from gateway.sharing.exchange.documents.spool import CHUNK, Place, Spool, SpoolUnreadable
from gateway.sharing.exchange.retry import RetryKeys

PLACE = Place(exchange=UUID("01a207bd-a9c0-7e73-b539-7af6ac5f545a"), number=1)
SEALED_CHUNK = CHUNK + 16
SALT = 16
CONTENT = os.urandom(3 * CHUNK + 7)
DIGEST = sha256(CONTENT).digest()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", RetryKeys(b"k" * 32))


def written(spool: Spool, content: bytes = CONTENT, *, place: Place = PLACE) -> bytes:
    """Write it in pieces that are no chunks; its digest."""
    digest = sha256(content).digest()
    pieces = (content[at : at + 1000] for at in range(0, len(content), 1000))
    spool.write(place, pieces, size=len(content), digest=digest)
    return digest


def read(spool: Spool, *, place: Place = PLACE, digest: bytes = DIGEST) -> bytes:
    return b"".join(spool.read(spool.open(place, digest=digest), place, digest=digest))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_what_was_written_is_read(spool: Spool, size: int) -> None:
    content = CONTENT[:size]
    assert read(spool, digest=written(spool, content)) == content


def test_a_file_is_for_its_owner_and_tells_nothing(spool: Spool, tmp_path: Path) -> None:
    written(spool, b"plain words" * 20_000)
    (file,) = (tmp_path / "spool").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert b"plain" not in file.read_bytes()


def _changed(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


def _chunks(whole: bytes) -> list[bytes]:
    sealed = whole[SALT:]
    return [sealed[at : at + SEALED_CHUNK] for at in range(0, len(sealed), SEALED_CHUNK)]


@pytest.mark.parametrize(
    "damaged",
    [
        lambda whole: whole[: SALT + SEALED_CHUNK],
        lambda whole: whole[: SALT + 3 * SEALED_CHUNK],
        lambda whole: whole[:-1],
        lambda whole: whole[:SALT],
        lambda _whole: b"",
        lambda whole: whole + b"\x00",
        lambda whole: whole + whole[-20:],
        lambda whole: _changed(whole, 0),
        lambda whole: _changed(whole, SALT),
        lambda whole: _changed(whole, len(whole) - 1),
        lambda whole: whole[:SALT] + b"".join([_chunks(whole)[number] for number in (1, 0, 2, 3)]),
        lambda whole: whole[:SALT] + b"".join([_chunks(whole)[number] for number in (0, 1, 3)]),
        lambda whole: whole[:SALT] + b"".join([_chunks(whole)[number] for number in (0, 0, 1, 2, 3)]),
    ],
)
def test_a_file_that_was_cut_lengthened_or_put_in_another_order(spool: Spool, tmp_path: Path, damaged: object) -> None:
    written(spool)
    file = tmp_path / "spool" / PLACE.name
    assert callable(damaged)
    file.write_bytes(damaged(file.read_bytes()))
    given: list[bytes] = []
    with pytest.raises(SpoolUnreadable):
        given.extend(spool.read(spool.open(PLACE, digest=DIGEST), PLACE, digest=DIGEST))
    # What was given before it was noticed is as it was written: nothing else ever gets out.
    assert CONTENT.startswith(b"".join(given))


def test_another_secret_digest_or_place_opens_nothing(spool: Spool, tmp_path: Path) -> None:
    written(spool)
    with pytest.raises(SpoolUnreadable):
        read(Spool(tmp_path / "spool", RetryKeys(b"K" * 32)))
    with pytest.raises(SpoolUnreadable):
        read(spool, digest=sha256(b"another").digest())
    elsewhere = Place(exchange=PLACE.exchange, number=2)
    (tmp_path / "spool" / PLACE.name).rename(tmp_path / "spool" / elsewhere.name)
    with pytest.raises(SpoolUnreadable):
        read(spool, place=elsewhere)


def test_what_was_not_written_to_its_end_is_gone(spool: Spool) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 2 * CHUNK
        raise RuntimeError("the department is gone")

    with pytest.raises(RuntimeError):
        spool.write(PLACE, broken(), size=5, digest=DIGEST)
    assert spool.places() == []


def test_a_place_is_written_once(spool: Spool) -> None:
    digest = written(spool)
    with pytest.raises(FileExistsError):
        spool.write(PLACE, [b"another"], size=7, digest=digest)
    assert read(spool) == CONTENT


def test_a_disk_that_is_nearly_full_is_left_alone(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "LEFT_FREE", 2**62)
    with pytest.raises(OSError, match="too little of the disk"):
        written(spool)
    assert spool.places() == []


def test_a_digest_is_sealed_for_its_place(spool: Spool) -> None:
    sealed = spool.seal_digest(PLACE, DIGEST)
    assert len(sealed) == 64  # what the column holds
    assert spool.unseal_digest(PLACE, sealed) == DIGEST
    with pytest.raises(SpoolUnreadable):
        spool.unseal_digest(Place(exchange=PLACE.exchange, number=2), sealed)
    with pytest.raises(SpoolUnreadable):
        spool.unseal_digest(PLACE, sealed[:-1])


def test_what_is_open_is_read_to_its_end_though_it_was_discarded(spool: Spool) -> None:
    written(spool)
    file = spool.open(PLACE, digest=DIGEST)
    spool.discard(spool.places())
    assert spool.places() == []
    assert b"".join(spool.read(file, PLACE, digest=DIGEST)) == CONTENT
