"""Files that only their owner may read, written whole or not at all."""

import os
import secrets
from pathlib import Path


def write_private_file(path: Path, content: bytes) -> bool:
    """Write a file that only its owner may read, durably; returns False where there is one, which is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _written_beside(path, content)
    try:
        os.link(temporary, path)  # unlike a rename, this never replaces what another process made first
        written = True
    except FileExistsError:
        written = False
    finally:
        temporary.unlink()
    make_names_durable(path.parent)
    return written


def replace_private_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another in one step: at every instant a reader finds the one or the other whole."""
    temporary = _written_beside(path, content)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    make_names_durable(path.parent)


def make_names_durable(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary
