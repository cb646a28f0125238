"""One 256-bit key per person, in files outside the database and outside its backups: destroying the file erases.

A file is named by a keyed hash of the subject's internal reference, so a listing of the directory names nobody. It
holds 16 random bytes that identify the key, then the key. Events about nobody share one general key. Where several
nodes run, they share this directory.

No key stays in memory: each is read from its file each time, so that what one process destroys no other uses again.
What is remembered is only which keys, by their ids, were seen to be durable, for these need no lock to be read.
"""

import fcntl
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MAX_REMEMBERED = 16_384
"""Of how many keys it is remembered that they are durable; some 3 MB."""

_KEY_ID_BYTES = 16
_KEY_BYTES = 32
_TAG_DIGITS = 64
_NAMES_KEY = "names.key"
_GENERAL = "general"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectKey:
    """A key and how to find it again: the tag names its file, the id tells it from a later key of the same subject."""

    tag: str
    key_id: bytes
    key: bytes = field(repr=False)


class SubjectKeys:
    """The directory of keys. Safe across threads and processes; nothing is read or made before it is needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names_key: bytes | None = None
        self._durable: dict[str, bytes] = {}

    def key_for(self, subject: str | None) -> SubjectKey:
        """Return the subject's key, durably made if there is none; None stands for events about nobody."""
        tag = self.tag(f"subject\x00{subject}" if subject is not None else _GENERAL)
        shard = self._shard(tag)
        durable = self._durable.get(tag)
        if durable is not None:
            data = _read(f"{shard}/{tag}", _KEY_ID_BYTES + _KEY_BYTES)
            # Another id is another key, made by somebody who may not have made it durable yet.
            if data is not None and data.startswith(durable):
                return _subject_key(tag, data)
        found = _subject_key(tag, _load_or_make(shard, tag, _KEY_ID_BYTES + _KEY_BYTES))
        if len(self._durable) >= MAX_REMEMBERED:
            self._durable.clear()
        self._durable[tag] = found.key_id
        return found

    def find_key(self, tag: str, key_id: bytes) -> bytes | None:
        """Return the very key that was used, or None when it has been destroyed."""
        with _locked(self._shard(tag), fcntl.LOCK_SH) as folder:
            found = _find(folder, tag)
        return found.key if found is not None and found.key_id == key_id else None

    def find_subject(self, subject: str) -> SubjectKey | None:
        """Return the subject's present key, or None when there is none; makes nothing."""
        tag = self.tag(f"subject\x00{subject}")
        with _locked(self._shard(tag), fcntl.LOCK_SH) as folder:
            return _find(folder, tag)

    def destroy(self, subject: str) -> bool:
        """Destroy the subject's key, durably, so that nothing under it can be read again; tell if there was one."""
        key = self.find_subject(subject)
        return key is not None and self.destroy_key(key.tag, key.key_id)

    def destroy_key(self, tag: str, key_id: bytes) -> bool:
        """Destroy this very key, durably; tell if it was there. A later key of the same subject is left alone."""
        with _locked(self._shard(tag), fcntl.LOCK_EX) as folder:
            found = _find(folder, tag)
            if found is None or found.key_id != key_id:
                return False
            os.unlink(tag, dir_fd=folder)
            os.fsync(folder)
        return True

    def every_key(self) -> Iterator[tuple[str, bytes]]:
        """Yield the tag and the key id of every key there is; reads every file, so it takes its time."""
        for path in sorted(self._directory.glob("[0-9a-f][0-9a-f]/*")):
            if len(path.name) == _TAG_DIGITS:
                with _locked(path.parent, fcntl.LOCK_SH) as folder:
                    found = _find(folder, path.name)
                if found is not None:
                    yield found.tag, found.key_id

    def tag(self, text: str) -> str:
        """Return the keyed hash of a text, 64 hex digits: the same here always, and unguessable elsewhere."""
        if self._names_key is None:
            self._names_key = _load_or_make(self._directory, _NAMES_KEY, _KEY_BYTES)
        return hmac.digest(self._names_key, text.encode(), "sha256").hex()

    def _shard(self, tag: str) -> str:
        return f"{self._directory}/{tag[:2]}"


def _subject_key(tag: str, data: bytes) -> SubjectKey:
    return SubjectKey(tag=tag, key_id=data[:_KEY_ID_BYTES], key=data[_KEY_ID_BYTES:])


def _find(folder: int, tag: str) -> SubjectKey | None:
    data = _read(tag, _KEY_ID_BYTES + _KEY_BYTES, folder=folder)
    return _subject_key(tag, data) if data is not None else None


def _load_or_make(directory: str | Path, name: str, size: int) -> bytes:
    with _locked(directory, fcntl.LOCK_SH) as folder:
        data = _read(name, size, folder=folder)
    if data is not None:
        return data
    # Made under the exclusive lock: whoever can read a key under a lock knows that it is already durable.
    with _locked(directory, fcntl.LOCK_EX) as folder:
        return _read(name, size, folder=folder) or _make(folder, name, size)


def _make(folder: int, name: str, size: int) -> bytes:
    data, unfinished = secrets.token_bytes(size), f"{name}.{secrets.token_hex(8)}.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
    return data


def _read(name: str, size: int, *, folder: int | None = None) -> bytes | None:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        data = os.read(descriptor, size + 1)
    finally:
        os.close(descriptor)
    if len(data) != size:
        # A damaged key must never be taken for a missing one: a new key would hide the loss.
        message = f"the key file {name} is damaged"
        raise OSError(message)
    return data


@contextmanager
def _locked(directory: str | Path, mode: int) -> Iterator[int]:
    """Hold a lock on the directory, made durably if it is missing; yields its descriptor."""
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_directory(Path(directory))
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, mode)
        yield folder
    finally:
        os.close(folder)  # closing releases the lock


def _make_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    parent = os.open(directory.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
