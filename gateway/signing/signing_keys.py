"""Load, make and publish the keys the gateway signs with."""

import os
import secrets
from enum import StrEnum
from pathlib import Path

from gateway.errors import GatewayError
from gateway.wire.signer import PrivateKeySigner, Signer

SECRET_BYTES = 32


class Purpose(StrEnum):
    """What a key may sign: one purpose a key, so that a signature made for one is worthless for another."""

    TOKENS = "tokens"  # ID tokens and access tokens
    EXCHANGE = "exchange"  # messages to members, and receipts
    LOG = "log"  # the log's checkpoints


ALGORITHMS = {Purpose.TOKENS: "ES256", Purpose.EXCHANGE: "ES256", Purpose.LOG: "Ed25519"}


class SigningKeyMissing(GatewayError):
    """There is no key for a purpose: the gateway was not initialised here."""

    code = "signing_key_missing"
    title = "A signing key is missing; run `gateway init`"


class SecretDamaged(GatewayError):
    """A file that should hold a 256-bit secret holds something else."""

    code = "secret_damaged"
    title = "A secret of the gateway is damaged"


class SigningKeys:
    """The keys found under one folder, read once: `<purpose>/<number>.pem`, the highest number is current."""

    def __init__(self, signers: dict[Purpose, tuple[Signer, ...]]) -> None:
        self._signers = signers

    @classmethod
    def load(cls, keys_dir: Path) -> "SigningKeys":
        """Read every key; raises `SigningKeyMissing` when a purpose has none."""
        signers: dict[Purpose, tuple[Signer, ...]] = {}
        for purpose in Purpose:
            files = _key_files(keys_dir, purpose)
            if not files:
                raise SigningKeyMissing(detail=f"no key in {keys_dir / purpose}")
            signers[purpose] = tuple(PrivateKeySigner.from_pem(file.read_bytes()) for file in files)
        return cls(signers)

    def current(self, purpose: Purpose) -> Signer:
        """Return the key that signs now."""
        return self._signers[purpose][-1]

    def public_jwks(self, purpose: Purpose) -> tuple[dict[str, str], ...]:
        """Return every public key kept for this purpose, as JWKs, newest first."""
        return tuple(signer.public_jwk() for signer in reversed(self._signers[purpose]))


def make_missing_keys(keys_dir: Path) -> tuple[Purpose, ...]:
    """Make a first key for each purpose that has none; returns the purposes for which one was made."""
    made = tuple(purpose for purpose in Purpose if not _key_files(keys_dir, purpose))
    for purpose in made:
        write_private_file(
            keys_dir / purpose / "0001.pem", PrivateKeySigner.generate(ALGORITHMS[purpose]).private_pem()
        )
    return made


def load_or_make_secret(path: Path) -> bytes:
    """Return the 256-bit secret kept in a file of its own, made on first use and never overwritten.

    Raises `SecretDamaged` for a file of another size: a key cut short would still work, and be guessed.
    """
    if not path.exists():
        write_private_file(path, os.urandom(SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise SecretDamaged(f"The secret in {path} is damaged; restore it from a backup.")
    return secret


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, durably; an existing file is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)  # unlike a rename, this never replaces what another process made first
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _key_files(keys_dir: Path, purpose: Purpose) -> list[Path]:
    return sorted((keys_dir / purpose).glob("*.pem"))
