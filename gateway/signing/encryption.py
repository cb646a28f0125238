"""Keys and secrets encrypted at rest: one master key, itself encrypted under the operator's passphrase.

`keys/passphrase.json` holds the master key, encrypted with AES-256-GCM under what scrypt (RFC 7914) makes of the
passphrase: that costs a tenth of a second and 64 MiB, once a process. From the master key come two others (HKDF,
RFC 5869): the password of every PEM file (PKCS #8 encryption, RFC 8018) and the AES-256-GCM key of the 32-byte secrets.
So the passphrase is changed by replacing one file, and no other file is touched.
"""

import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from gateway.signing.errors import KeysEncrypted, SecretDamaged
from gateway.signing.private_files import replace_private_file, write_private_file
from gateway.wire.encoding import b64url_decode, b64url_encode, parse_json_object
from gateway.wire.errors import MalformedInput

LOCK_FILE = "passphrase.json"
ENCRYPTED_PEM = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
SHORTEST_PASSPHRASE = 12  # characters

_MASTER_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_SEALED = b"gwk1"  # begins a sealed secret, so that it is never taken for one in the clear
_COST = 1 << 16
_FORMAT = 1
_AAD = b"gateway keys 1"


class KeyLock:
    """Seals and opens the files of one keys folder."""

    def __init__(self, master: bytes) -> None:
        """Take the 256-bit master key."""
        self._master = master
        self._secrets = AESGCM(_derived(master, b"gateway keys: secrets"))
        self.pem_password = _derived(master, b"gateway keys: PEM").hex().encode()
        """The password of every PEM file: 256 bits, so that the few rounds PKCS #8 is used with are enough."""
        self.lock_id = _derived(master, b"gateway keys: lock id").hex()[:32]
        """Tells this lock from another; says nothing about the keys."""

    def __repr__(self) -> str:
        return "KeyLock(***)"

    def seal(self, secret: bytes, *, name: str) -> bytes:
        """Encrypt a secret for the file `name`; in another file's place it does not open."""
        nonce = os.urandom(_NONCE_BYTES)
        return _SEALED + nonce + self._secrets.encrypt(nonce, secret, name.encode())

    def open(self, sealed: bytes, *, name: str) -> bytes:
        """Return the secret sealed for the file `name`; raises `SecretDamaged`."""
        nonce, encrypted = sealed[len(_SEALED) :][:_NONCE_BYTES], sealed[len(_SEALED) + _NONCE_BYTES :]
        try:
            return self._secrets.decrypt(nonce, encrypted, name.encode())
        except (InvalidTag, ValueError) as error:
            raise SecretDamaged(f"The secret in {name} is damaged, or was sealed for another file.") from error

    def passphrase_file(self, passphrase: str) -> bytes:
        """Return the content of `passphrase.json` with which this passphrase opens these keys."""
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        sealed = AESGCM(_stretched(passphrase, salt)).encrypt(nonce, self._master, _AAD)
        document = {
            "format": _FORMAT,
            "id": self.lock_id,
            "kdf": "scrypt",
            "salt": b64url_encode(salt),
            "nonce": b64url_encode(nonce),
            "master": b64url_encode(sealed),
        }
        return (json.dumps(document, indent=2) + "\n").encode()


def is_sealed(content: bytes) -> bool:
    """Tell a sealed secret from one in the clear, which has 32 bytes."""
    return content.startswith(_SEALED) and len(content) > _MASTER_BYTES


def open_lock(keys_dir: Path, passphrase: str | None) -> KeyLock | None:
    """Open the lock of a keys folder; None when there is none and no passphrase was given.

    With a passphrase and no lock yet, one is made. Raises `KeysEncrypted` when the passphrase is missing, too short or
    not the right one, and when the lock of keys that are encrypted is gone.
    """
    path = keys_dir / LOCK_FILE
    if not path.exists():
        if passphrase is None:
            return None
        _make_lock(keys_dir, passphrase)
    if passphrase is None:
        raise KeysEncrypted(f"The keys in {keys_dir} are encrypted: set GATEWAY_KEYS_PASSPHRASE or …_FILE.")
    return _opened(path, passphrase)


def check_lock_current(keys_dir: Path, lock: KeyLock | None) -> None:
    """Raise `KeysEncrypted` unless what is written under this lock now will be opened by the next start.

    The keys may have been encrypted, or decrypted, by command while this process ran.
    """
    try:
        document = parse_json_object((keys_dir / LOCK_FILE).read_bytes())
    except FileNotFoundError:
        document = {}
    except MalformedInput as error:
        raise KeysEncrypted(f"{keys_dir / LOCK_FILE} is damaged; restore it from where the keys are kept.") from error
    if document.get("id") != (lock.lock_id if lock is not None else None):
        raise KeysEncrypted("The keys were encrypted or decrypted since this process began: start it again.")


def change_passphrase(keys_dir: Path, lock: KeyLock, passphrase: str) -> None:
    """Let another passphrase open the same keys; from now on the old one does not. Raises `KeysEncrypted`."""
    check_passphrase(passphrase)
    replace_private_file(keys_dir / LOCK_FILE, lock.passphrase_file(passphrase))


def check_passphrase(passphrase: str) -> None:
    """Raise `KeysEncrypted` for a passphrase that is soon guessed by its length alone."""
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise KeysEncrypted(f"A passphrase for the keys has at least {SHORTEST_PASSPHRASE} characters.")


def _make_lock(keys_dir: Path, passphrase: str) -> None:
    check_passphrase(passphrase)
    for path in keys_dir.rglob("*"):
        # A new lock would open none of these, and hide that the right one is missing.
        if path.is_file() and path.suffix in {".pem", ".key"} and is_encrypted(path.read_bytes()):
            raise KeysEncrypted(f"{path} is encrypted and {keys_dir / LOCK_FILE} is gone: restore it.")
    # Where another process makes one at the same time, the first stays, and is the one that is opened.
    write_private_file(keys_dir / LOCK_FILE, KeyLock(os.urandom(_MASTER_BYTES)).passphrase_file(passphrase))


def is_encrypted(content: bytes) -> bool:
    """Tell whether a key file's content is encrypted."""
    return ENCRYPTED_PEM in content or is_sealed(content)


def _opened(path: Path, passphrase: str) -> KeyLock:
    try:
        document = parse_json_object(path.read_bytes())
        if (document["format"], document["kdf"]) != (_FORMAT, "scrypt"):
            raise KeysEncrypted(f"{path} was made by a version of the gateway that this one cannot read.")
        salt, nonce, sealed = (b64url_decode(document[name]) for name in ("salt", "nonce", "master"))
        return KeyLock(AESGCM(_stretched(passphrase, salt)).decrypt(nonce, sealed, _AAD))
    except InvalidTag as error:
        raise KeysEncrypted("GATEWAY_KEYS_PASSPHRASE is not the passphrase of these keys.") from error
    except (MalformedInput, KeyError, TypeError, ValueError) as error:
        raise KeysEncrypted(f"{path} is damaged; restore it from where the keys are kept.") from error


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_MASTER_BYTES, n=_COST, r=8, p=1).derive(passphrase.encode())


def _derived(master: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_MASTER_BYTES, salt=None, info=info).derive(master)
