"""From settings to how the keys are kept; and the change from one way of keeping files to another."""

from pathlib import Path

import structlog

from gateway.settings import Settings
from gateway.signing.encryption import LOCK_FILE, KeyLock, is_encrypted, is_sealed, open_lock
from gateway.signing.hsm import Hsm
from gateway.signing.key_files import Keeping, with_lock
from gateway.signing.private_files import make_names_durable, replace_private_file
from gateway.signing.purposes import Purpose
from gateway.signing.secret_files import opened_secret, secret_name

log = structlog.get_logger("gateway.signing")


def open_keeping(settings: Settings) -> Keeping:
    """Return how this gateway keeps its keys; opening a lock takes a tenth of a second, once.

    Raises `KeysEncrypted` when the passphrase is missing, wrong or too short, `SettingsError` for a hardware module
    without what it needs.
    """
    hsm = None
    if settings.pkcs11_module is not None and settings.pkcs11_token and settings.pkcs11_pin:
        hsm = Hsm(module=str(settings.pkcs11_module), token=settings.pkcs11_token, pin=settings.pkcs11_pin)
    return Keeping(lock=open_lock(settings.keys_dir, settings.keys_passphrase), hsm=hsm)


def warn_of_unprotected_keys(keys_dir: Path) -> None:
    """Say in the log, by name, which keys and secrets lie there for whoever reads the disk."""
    plain = unprotected_files(keys_dir)
    if plain:
        named = [str(path.relative_to(keys_dir)) for path in plain]
        log.warning(
            "keys lie unencrypted in files: set GATEWAY_KEYS_PASSPHRASE and run `gateway keys encrypt`", files=named
        )


def unprotected_files(keys_dir: Path) -> list[Path]:
    """Return the files of private keys and secrets that are not encrypted."""
    return [path for path in private_files(keys_dir) if not _is_protected(path.read_bytes())]


def encrypt_keys(keys_dir: Path, lock: KeyLock) -> list[Path]:
    """Encrypt every key and secret that lies in the clear; returns their files. Safe to repeat after a crash.

    Each file is replaced in one step, and read by either name of its state meanwhile. Raises as `read_key` does.
    """
    return _changed(keys_dir, opened_by=lock, lock=lock)


def decrypt_keys(keys_dir: Path, lock: KeyLock) -> list[Path]:
    """Put every key and secret in the clear, and in the end do away with the lock; safe to repeat after a crash."""
    changed = _changed(keys_dir, opened_by=lock, lock=None)
    # The last step: until here every file can be opened with the passphrase, or needs none.
    (keys_dir / LOCK_FILE).unlink(missing_ok=True)
    make_names_durable(keys_dir)
    return changed


def private_files(keys_dir: Path) -> list[Path]:
    """Return every file of a private key or a secret, in order of their names."""
    folders = [keys_dir / purpose for purpose in Purpose]
    found = [path for folder in folders for path in folder.rglob("[0-9][0-9][0-9][0-9].pem")]
    found += [path for pattern in ("*.key", "identity/*.key") for path in keys_dir.glob(pattern)]
    return sorted(path for path in found if not path.name.startswith("."))


def _is_protected(content: bytes) -> bool:
    return is_encrypted(content) or b"-----BEGIN PUBLIC KEY-----" in content


def _changed(keys_dir: Path, *, opened_by: KeyLock, lock: KeyLock | None) -> list[Path]:
    changed = []
    for path in private_files(keys_dir):
        content = path.read_bytes()
        if b"-----BEGIN PUBLIC KEY-----" in content or is_encrypted(content) is (lock is not None):
            continue
        replace_private_file(path, _rewritten(path, content, opened_by=opened_by, lock=lock))
        changed.append(path)
    return changed


def _rewritten(path: Path, content: bytes, *, opened_by: KeyLock, lock: KeyLock | None) -> bytes:
    if path.suffix == ".pem":
        return with_lock(path, opened_by=opened_by, lock=lock)
    secret = opened_secret(path, content, opened_by if is_sealed(content) else None)
    return secret if lock is None else lock.seal(secret, name=secret_name(path))
