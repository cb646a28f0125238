"""One key, one file: `keys/<purpose>/<number>.pem`, the facts about it in lines above the PEM block (RFC 7468 §2).

    Algorithm: RS256
    Made-At: 2026-11-23T14:00:00.000Z
    Signs-From: 2026-11-23T15:00:00.000Z

    -----BEGIN PRIVATE KEY-----

A file is made in one step and says everything, so that no crash leaves a key without its times. Without the lines (a
key made by hand, or by an earlier release) it signs at once. Of a key in a hardware module the public half is here.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.clock import parse_rfc3339, rfc3339
from gateway.errors import GatewayError
from gateway.signing.encryption import ENCRYPTED_PEM, KeyLock
from gateway.signing.errors import KeyFileDamaged, KeysEncrypted
from gateway.signing.hsm import Hsm
from gateway.signing.purposes import ALGORITHMS, Purpose
from gateway.wire.keys import check_signature
from gateway.wire.signer import PrivateKey, PrivateKeySigner, PublicKey, Signer

RETIRED = "retired"
_LARGEST_FILE = 64 * 1024
_BEGIN = b"-----BEGIN "
_ALGORITHM, _MADE, _FROM, _HSM_ID = "Algorithm", "Made-At", "Signs-From", "Pkcs11-Id"
_FACTS = (_ALGORITHM, _MADE, _FROM, _HSM_ID)
_PROBE = b"gateway: does this key sign?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How keys are kept: `lock` encrypts files, `hsm` holds the new keys of every algorithm it has."""

    lock: KeyLock | None = None
    hsm: Hsm | None = None


IN_THE_CLEAR = Keeping()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the gateway, read from its file."""

    number: str
    """Four digits, within the purpose; never used twice."""
    signer: Signer
    made_at: datetime | None
    signs_from: datetime | None
    """None when it signed from the beginning, or since nobody knows when."""
    path: Path
    kept: str
    """`file`, `encrypted file` or `pkcs11`."""

    @property
    def algorithm(self) -> str:
        """Its one JOSE algorithm."""
        return self.signer.algorithm

    @property
    def key_id(self) -> str:
        """Its `kid`."""
        return self.signer.key_id


def key_files(keys_dir: Path, purpose: Purpose, *, retired: bool = False) -> list[Path]:
    """Return the files of a purpose's keys, lowest number first."""
    folder = keys_dir / purpose / RETIRED if retired else keys_dir / purpose
    # Four digits and no other name: a copy that somebody left there must not begin to sign.
    return sorted(folder.glob("[0-9][0-9][0-9][0-9].pem"))


def read_key(path: Path, purpose: Purpose, keeping: Keeping = IN_THE_CLEAR) -> Key:
    """Read one key; raises `KeyFileDamaged` naming the file, or `KeysEncrypted`."""
    with _named(path):
        facts, block = _split(path.read_bytes())
        signer, kept = _signer(facts, block, keeping)
        made_at, signs_from = (_instant(facts, name) for name in (_MADE, _FROM))
    if signer.algorithm not in ALGORITHMS[purpose]:
        raise KeyFileDamaged(f"{path} holds a key for {signer.algorithm}, which signs no {purpose} here.")
    return Key(number=path.stem, signer=signer, made_at=made_at, signs_from=signs_from, path=path, kept=kept)


def key_file(
    signer: PrivateKeySigner, *, lock: KeyLock | None, made_at: datetime | None, signs_from: datetime | None
) -> bytes:
    """Return the content of the file for a key in memory."""
    facts = {_ALGORITHM: signer.algorithm, _MADE: _written(made_at), _FROM: _written(signs_from)}
    block = signer.private_pem() if lock is None else signer.private_pem(password=lock.pem_password)
    return _preamble(facts) + block


def hsm_key_file(
    public_key: PublicKey, *, object_id: bytes, algorithm: str, made_at: datetime | None, signs_from: datetime | None
) -> bytes:
    """Return the content of the file for a key that a hardware module holds under `object_id`."""
    facts = {_ALGORITHM: algorithm, _MADE: _written(made_at), _FROM: _written(signs_from), _HSM_ID: object_id.hex()}
    return _preamble(facts) + public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def with_lock(path: Path, *, opened_by: KeyLock | None, lock: KeyLock | None) -> bytes:
    """Return a key's file as it is under another lock, or none: its facts are the same. Raises as `read_key` does."""
    with _named(path):
        content = path.read_bytes()
        facts, block = _split(content)
        signer = PrivateKeySigner(_private_key(block, opened_by), algorithm=facts.get(_ALGORITHM))
        sealed = signer.private_pem() if lock is None else signer.private_pem(password=lock.pem_password)
        _private_key(sealed, lock)  # it opens: only then may it take the other's place
        return content[: content.index(_BEGIN)] + sealed


def identity_of(path: Path, lock: KeyLock | None) -> str:
    """Return a SHA-256 (hex) that tells this key from every other, however its file is kept; raises as `read_key`."""
    with _named(path):
        facts, block = _split(path.read_bytes())
        if _HSM_ID in facts:
            return hashlib.sha256(block).hexdigest()
        return hashlib.sha256(PrivateKeySigner(_private_key(block, lock)).private_pem()).hexdigest()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file it was in whatever is wrong with it."""
    try:
        yield
    except (KeyFileDamaged, KeysEncrypted) as error:
        raise type(error)(f"{path}: {error.public}") from error
    except (GatewayError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileDamaged(f"{path} does not hold one whole key.", detail=str(error)) from error


def _split(content: bytes) -> tuple[Mapping[str, str], bytes]:
    begin = content.find(_BEGIN)
    if begin < 0 or len(content) > _LARGEST_FILE:
        raise KeyFileDamaged("there is no PEM block")
    facts: dict[str, str] = {}
    for line in content[:begin].decode("utf-8").splitlines():
        name, colon, value = line.partition(": ")
        if line and (not colon or name not in _FACTS or name in facts):
            raise KeyFileDamaged("a line above the PEM block is not one of ours")
        if line:
            facts[name] = value.strip()
    return facts, content[begin:]


def _signer(facts: Mapping[str, str], block: bytes, keeping: Keeping) -> tuple[Signer, str]:
    algorithm, object_id = facts.get(_ALGORITHM), facts.get(_HSM_ID)
    if object_id is not None:
        if keeping.hsm is None:
            raise KeyFileDamaged("the key is in a hardware module: set GATEWAY_PKCS11_MODULE, _TOKEN and _PIN")
        public_key = load_pem_public_key(block)
        if not isinstance(public_key, PublicKey) or algorithm is None:
            raise KeyFileDamaged("only P-256, RSA and Ed25519 keys can sign")
        return keeping.hsm.signer(bytes.fromhex(object_id), public_key, algorithm=algorithm), "pkcs11"
    signer = PrivateKeySigner(_private_key(block, keeping.lock), algorithm=algorithm)
    # In place of the slow checks that were left out: what a damaged key signs does not verify.
    check_signature(_PROBE, signer.sign(_PROBE), jwk=signer.public_jwk(), algorithm=signer.algorithm)
    return signer, "encrypted file" if block.startswith(ENCRYPTED_PEM) else "file"


def _private_key(block: bytes, lock: KeyLock | None) -> PrivateKey:
    encrypted = block.startswith(ENCRYPTED_PEM)
    if encrypted and lock is None:
        raise KeysEncrypted("it is encrypted: set GATEWAY_KEYS_PASSPHRASE or GATEWAY_KEYS_PASSPHRASE_FILE")
    password = lock.pem_password if encrypted and lock is not None else None
    # Proving that the factors of an RSA key are primes takes 0.2 s a key, and the file is our own.
    private_key = load_pem_private_key(block, password, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private_key, PrivateKey):
        raise KeyFileDamaged("only P-256, RSA and Ed25519 keys can sign")
    return private_key


def _instant(facts: Mapping[str, str], name: str) -> datetime | None:
    return parse_rfc3339(facts[name]) if name in facts else None


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)


def _preamble(facts: Mapping[str, str | None]) -> bytes:
    lines = [f"{name}: {value}\n" for name, value in facts.items() if value is not None]
    return ("".join(lines) + "\n").encode()
