"""One 256-bit key per person, in files outside the database and outside its backups: destroying the file erases.

A file is named by a keyed hash of the subject's internal reference, so a listing of the directory names nobody. It
holds 16 random bytes that identify the key, then the key. Events about nobody share one general key. Where several
nodes run, they share this directory.
"""

import fcntl
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_KEY_ID_BYTES = 16
_KEY_BYTES = 32
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

    def key_for(self, subject: str | None) -> SubjectKey:
        """Return the subject's key, durably made if there is none; None stands for events about nobody."""
        tag = self.tag(f"subject\x00{subject}" if subject is not None else _GENERAL)
        return _subject_key(tag, _load_or_make(self._shard(tag), tag, _KEY_ID_BYTES + _KEY_BYTES))

    def find_key(self, tag: str, key_id: bytes) -> bytes | None:
        """Return the very key that was used, or None when it has been destroyed."""
        with _locked(self._shard(tag), fcntl.LOCK_SH) as folder:
            data = _read(folder, tag, _KEY_ID_BYTES + _KEY_BYTES)
        found = _subject_key(tag, data) if data is not None else None
        return found.key if found is not None and found.key_id == key_id else None

    def destroy(self, subject: str) -> bool:
        """Destroy the subject's key, durably, so that nothing under it can be read again; tell if there was one."""
        tag = self.tag(f"subject\x00{subject}")
        with _locked(self._shard(tag), fcntl.LOCK_EX) as folder:
            try:
                os.unlink(tag, dir_fd=folder)
            except FileNotFoundError:
                return False
            os.fsync(folder)
        return True

    def tag(self, text: str) -> str:
        """Return the keyed hash of a text, 64 hex digits: the same here always, and unguessable elsewhere."""
        if self._names_key is None:
            self._names_key = _load_or_make(self._directory, _NAMES_KEY, _KEY_BYTES)
        return hmac.digest(self._names_key, text.encode(), "sha256").hex()

    def _shard(self, tag: str) -> Path:
        return self._directory / tag[:2]


def _subject_key(tag: str, data: bytes) -> SubjectKey:
    return SubjectKey(tag=tag, key_id=data[:_KEY_ID_BYTES], key=data[_KEY_ID_BYTES:])


def _load_or_make(directory: Path, name: str, size: int) -> bytes:
    with _locked(directory, fcntl.LOCK_SH) as folder:
        data = _read(folder, name, size)
    if data is not None:
        return data
    # Made under the exclusive lock: whoever can read a key knows that it is already durable.
    with _locked(directory, fcntl.LOCK_EX) as folder:
        return _read(folder, name, size) or _make(folder, name, size)


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


def _read(folder: int, name: str, size: int) -> bytes | None:
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
def _locked(directory: Path, mode: int) -> Iterator[int]:
    """Hold a lock on the directory, made durably if it is missing; yields its descriptor."""
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_directory(directory)
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
