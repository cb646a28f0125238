"""Load, make, rotate and publish the keys the gateway signs with.

`keys/<purpose>/<number>.pem`: the highest number is current. `keys/log/retired/` holds keys that sign the log no more.
"""

import os
import secrets
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from gateway.audit.log_keys import LogKeys
from gateway.errors import GatewayError, Kind
from gateway.wire.notes import verifier_key_of
from gateway.wire.signer import PrivateKeySigner, Signer

SECRET_BYTES = 32
RETIRED = "retired"


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


class KeyNotMade(GatewayError):
    """No key was made."""

    kind = Kind.CONFLICT
    code = "key_not_made"
    title = "The key was not made"


class KeyNotRetired(GatewayError):
    """A key that is not there, or without which nothing could be signed. Nothing was changed."""

    kind = Kind.INVALID
    code = "key_not_retired"
    title = "This key cannot be retired"


class SecretDamaged(GatewayError):
    """A file that should hold a 256-bit secret holds something else."""

    code = "secret_damaged"
    title = "A secret of the gateway is damaged"


class SigningKeys:
    """The keys found under one folder, read once: `<purpose>/<number>.pem`, the highest number is current."""

    def __init__(self, signers: dict[Purpose, tuple[Signer, ...]], *, retired_log: tuple[Signer, ...] = ()) -> None:
        self._signers = signers
        self._retired_log = retired_log

    @classmethod
    def load(cls, keys_dir: Path) -> "SigningKeys":
        """Read every key; raises `SigningKeyMissing` when a purpose has none."""
        signers: dict[Purpose, tuple[Signer, ...]] = {}
        for purpose in Purpose:
            files = key_files(keys_dir, purpose)
            if not files:
                raise SigningKeyMissing(detail=f"no key in {keys_dir / purpose}")
            signers[purpose] = _signers(files)
        return cls(signers, retired_log=_signers(key_files(keys_dir, Purpose.LOG, retired=True)))

    def current(self, purpose: Purpose) -> Signer:
        """Return the key that signs now."""
        return self._signers[purpose][-1]

    def log_keys(self, origin: str) -> LogKeys:
        """Return the keys of the log `origin`: all that are not retired sign its checkpoints."""
        return LogKeys(
            origin=origin,
            signers=self._signers[Purpose.LOG],
            retired=tuple(verifier_key_of(signer, origin) for signer in self._retired_log),
        )

    def public_jwks(self, purpose: Purpose) -> tuple[dict[str, str], ...]:
        """Return every public key kept for this purpose, as JWKs, newest first."""
        return tuple(signer.public_jwk() for signer in reversed(self._signers[purpose]))


def key_files(keys_dir: Path, purpose: Purpose, *, retired: bool = False) -> list[Path]:
    """Return the files of a purpose's keys, lowest number first."""
    folder = keys_dir / purpose / RETIRED if retired else keys_dir / purpose
    # Four digits and no other name: a copy that somebody left there must not begin to sign.
    return sorted(folder.glob("[0-9][0-9][0-9][0-9].pem"))


def key_id_of(file: Path) -> str:
    """Return the `kid` of the key in a file; raises `UnusableKey`."""
    return PrivateKeySigner.from_pem(file.read_bytes()).key_id


def make_missing_keys(keys_dir: Path) -> tuple[Purpose, ...]:
    """Make a first key for each purpose that has none; returns the purposes for which one was made."""
    made = tuple(purpose for purpose in Purpose if not key_files(keys_dir, purpose))
    for purpose in made:
        write_private_file(
            keys_dir / purpose / "0001.pem", PrivateKeySigner.generate(ALGORITHMS[purpose]).private_pem()
        )
    return made


def add_key(keys_dir: Path, purpose: Purpose) -> Path:
    """Make the next key of a purpose, current from the next start on; returns its file."""
    numbers = [int(file.stem) for retired in (False, True) for file in key_files(keys_dir, purpose, retired=retired)]
    signer, number = PrivateKeySigner.generate(ALGORITHMS[purpose]), max(numbers, default=0) + 1
    path = keys_dir / purpose / f"{number:04d}.pem"
    write_private_file(path, signer.private_pem())
    if path.read_bytes() != signer.private_pem():
        raise KeyNotMade(f"Another key {path.name} was made at the same time; look at it before making one more.")
    return path


def retire_log_key(keys_dir: Path, number: str) -> Path:
    """Let a key of the log sign no more from the next start on: it is moved to `retired/`; returns its file there.

    It still opens what it signed. Raises `KeyNotRetired` for one that is not there, for the only one left, and where
    another key of this number was retired before.
    """
    files = key_files(keys_dir, Purpose.LOG)
    leaving = next((file for file in files if file.stem == number), None)
    if leaving is None:
        raise KeyNotRetired(f"There is no key {number} of the log; there are {', '.join(file.stem for file in files)}.")
    if len(files) == 1:
        raise KeyNotRetired("This is the log's only key; make another one first.")
    retired = keys_dir / Purpose.LOG / RETIRED / leaving.name
    write_private_file(retired, leaving.read_bytes())
    # What is there already is never replaced: a second key of one number would be lost with all that it has signed.
    if retired.read_bytes() != leaving.read_bytes():
        raise KeyNotRetired(f"Another key {number} of the log was retired before; give this one a number of its own.")
    leaving.unlink()
    return retired


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


def _signers(files: Iterable[Path]) -> tuple[Signer, ...]:
    return tuple(PrivateKeySigner.from_pem(file.read_bytes()) for file in files)
