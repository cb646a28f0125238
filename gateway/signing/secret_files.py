"""Secrets of 256 bits, each in a file of its own: made on first use, never overwritten, encrypted like the keys."""

import os
from pathlib import Path

from gateway.signing.encryption import KeyLock, is_sealed
from gateway.signing.errors import KeysEncrypted, SecretDamaged
from gateway.signing.private_files import write_private_file

SECRET_BYTES = 32


def load_or_make_secret(path: Path, lock: KeyLock | None) -> bytes:
    """Return the 256-bit secret kept in a file of its own, made on first use and never overwritten.

    Raises `SecretDamaged` for a file of another size: a key cut short would still work, and be guessed. Raises
    `KeysEncrypted` for a sealed one without a lock.
    """
    if not path.exists():
        secret = os.urandom(SECRET_BYTES)
        write_private_file(path, secret if lock is None else lock.seal(secret, name=secret_name(path)))
    return opened_secret(path, path.read_bytes(), lock)


def opened_secret(path: Path, content: bytes, lock: KeyLock | None) -> bytes:
    """Return the secret that the content of a file is, sealed or in the clear; raises as `load_or_make_secret`."""
    if is_sealed(content):
        if lock is None:
            raise KeysEncrypted(f"{path} is encrypted: set GATEWAY_KEYS_PASSPHRASE or GATEWAY_KEYS_PASSPHRASE_FILE.")
        content = lock.open(content, name=secret_name(path))
    if len(content) != SECRET_BYTES:
        raise SecretDamaged(f"The secret in {path} is damaged; restore it from a backup.")
    return content


def secret_name(path: Path) -> str:
    """Return the name under which a secret is sealed: in another file's place it does not open."""
    return f"{path.parent.name}/{path.name}"
