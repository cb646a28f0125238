"""What a backup holds: one JSON file, written last, so that a folder without it is an unfinished backup.

`{"manifest": {…}, "sha256": "<hex of the manifest's canonical JSON>"}`. The database and the checkpoint are held by
their digests; the tiles and bundles need none, because the signed checkpoint holds every one of them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.backup.errors import BackupDamaged
from gateway.signing.encryption import KeyLock
from gateway.signing.key_files import identity_of, key_files
from gateway.signing.purposes import Purpose
from gateway.signing.secret_files import opened_secret
from gateway.wire.canonical import canonical_json
from gateway.wire.encoding import parse_json_object
from gateway.wire.errors import MalformedInput

FORMAT = 1
MANIFEST = "manifest.json"
LOG = "log"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """One file: its length in bytes and its SHA-256 in hex."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One backup. Members are only ever added, at the end."""

    format: int = FORMAT
    made_at: str
    """RFC 3339: when the database was copied."""
    gateway: str
    """The version of the code that made it."""
    issuer: str
    origin: str
    """The log's name."""
    kind: str
    """`sqlite` or `postgresql`."""
    revision: str
    """The database's migration."""
    size: int
    """How many entries the copied checkpoint covers."""
    database: str
    """The database's file."""
    files: Mapping[str, FileDigest]
    """By path below the folder: the database, and `log/checkpoint` when something was published."""
    keys: Mapping[str, str]
    """SHA-256, by path below `keys/`, of the keys without which this database is of no use. The keys are not here."""

    def encode(self) -> bytes:
        """Return the manifest file."""
        document = asdict(self)
        wrapped = {"manifest": document, "sha256": hashlib.sha256(canonical_json(document)).hexdigest()}
        return (json.dumps(wrapped, indent=2, ensure_ascii=False) + "\n").encode()


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's manifest; raises `BackupDamaged` when there is none, or not one byte for byte as written."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BackupDamaged(f"{folder} has no {MANIFEST}: it is no backup, or an unfinished one") from error
    try:
        manifest = _manifest(dict(parse_json_object(content)["manifest"]))
    except (MalformedInput, KeyError, TypeError, ValueError) as error:
        raise BackupDamaged(f"{MANIFEST} is not the manifest of a backup") from error
    # Written again it is the same file, its own digest included: so no byte of it was changed.
    if manifest.encode() != content:
        raise BackupDamaged(f"{MANIFEST} was changed after it was written")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Hold every file with a digest against it; raises `BackupDamaged` naming the first that differs."""
    for name, expected in manifest.files.items():
        try:
            found = digest_of(folder / name)
        except OSError as error:
            raise BackupDamaged(f"{name} is missing from the backup") from error
        if found != expected:
            raise BackupDamaged(f"{name} is not what was backed up: its digest differs")


def digest_of(path: Path) -> FileDigest:
    """Return a file's length and digest."""
    hashed, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
            length += len(chunk)
    return FileDigest(bytes=length, sha256=hashed.hexdigest())


def needed_keys(keys_dir: Path, lock: KeyLock | None) -> dict[str, str]:
    """Return the digests of the keys that a database cannot do without: all but those that may be replaced.

    A digest is of the key itself: encrypted, decrypted or under another passphrase it is the same. Raises
    `KeyFileDamaged`, `SecretDamaged` or `KeysEncrypted`.
    """
    # Secrets are 256 bits and private keys no less: their digests tell nothing about them.
    found = {
        path: identity_of(path, lock)
        for purpose in (Purpose.EXCHANGE, Purpose.LOG)
        for path in (*key_files(keys_dir, purpose), *key_files(keys_dir, purpose, retired=True))
    }
    for path in (*keys_dir.glob("identity/*.key"), *keys_dir.glob("client-secrets.key")):
        found[path] = hashlib.sha256(opened_secret(path, path.read_bytes(), lock)).hexdigest()
    return {str(path.relative_to(keys_dir)): digest for path, digest in sorted(found.items())}


def is_needed(name: str) -> bool:
    """Tell whether a restore needs the key that a manifest names: older ones named the tokens', which come and go."""
    return not name.startswith(f"{Purpose.TOKENS}/")


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, and its name, so that a crash cannot take them back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    make_durable(path.parent)


def make_durable(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(document: dict[str, Any]) -> Manifest:
    if document.get("format") != FORMAT:
        raise BackupDamaged("This backup was made by a version of the gateway that this one cannot read")
    files = {str(name): FileDigest(**digest) for name, digest in dict(document.pop("files")).items()}
    for name in files:
        if name.startswith("/") or ".." in Path(name).parts:
            raise BackupDamaged(f"{MANIFEST} names a file outside the backup")
    manifest = Manifest(files=files, **(document | {"keys": dict(document["keys"])}))
    if manifest.database not in files:
        raise BackupDamaged(f"{MANIFEST} has no digest of the database")
    return manifest
