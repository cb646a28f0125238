"""What was seen of a log before: its last verified checkpoint, a signed note in a file of the checker's own.

The file is that note itself: whoever is shown another history later holds the proof of it in the log's own hand.
"""

import os
import secrets
from pathlib import Path

from gateway.audit.checking.trust import Trust
from gateway.audit.errors import LogNotVerified, StateUnusable
from gateway.wire.notes import MAX_NOTE_BYTES, Checkpoint


def load_remembered(path: Path, trust: Trust) -> Checkpoint | None:
    """Return the checkpoint remembered in a file, or None when there is no file yet.

    Raises `StateUnusable` for a file that cannot be read, or that the trusted keys have not signed: a damaged memory
    must not be taken for a fork, nor for none.
    """
    note = read_whole(path, limit=MAX_NOTE_BYTES)
    if note is None:
        return None
    try:
        return trust.open_remembered(note)
    except LogNotVerified as error:
        raise StateUnusable(f"{path} is damaged, or not the memory of this log: {error.public}") from error


def remember(path: Path, data: bytes) -> None:
    """Replace the file durably, whole or not at all; raises `StateUnusable`."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StateUnusable(f"{path} cannot be written", detail=str(error)) from error


def keep_contradiction(path: Path, note: bytes) -> Path:
    """Keep the checkpoint that contradicts the remembered one beside it; returns the file."""
    evidence = path.with_name(f"{path.name}.conflict")
    remember(evidence, note)
    return evidence


def read_whole(path: Path, *, limit: int) -> bytes | None:
    """Return a file's bytes, or None when there is none; raises `StateUnusable` beyond `limit` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateUnusable(f"{path} cannot be read", detail=str(error)) from error
    if len(data) > limit:
        raise StateUnusable(f"{path} is too large for what it should hold")
    return data
