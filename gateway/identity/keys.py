"""The secrets of this room, each in a file of its own outside the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.signing.encryption import KeyLock
from gateway.signing.secret_files import load_or_make_secret

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityKeys:
    """256-bit secrets; none of them is ever shown."""

    sealing: bytes = field(repr=False)
    """Encrypts the authenticator secrets in the database."""
    pairwise: Mapping[int, bytes] = field(repr=False)
    """By version; the highest makes the subs of new pairs."""
    references: bytes = field(repr=False)
    """Makes the opaque references by which the log knows people, and the keys under which attempts are counted."""


def load_identity_keys(keys_dir: Path, lock: KeyLock | None) -> IdentityKeys:
    """Read the secrets under `keys_dir`/identity, making those that are missing; `lock` encrypts their files."""
    folder = keys_dir / "identity"
    versions = {int(path.stem.removeprefix("pairwise-")): path for path in folder.glob("pairwise-*.key")}
    versions = versions or {FIRST_VERSION: folder / f"pairwise-{FIRST_VERSION}.key"}
    return IdentityKeys(
        sealing=load_or_make_secret(folder / "sealing.key", lock),
        pairwise={version: load_or_make_secret(path, lock) for version, path in versions.items()},
        references=load_or_make_secret(folder / "references.key", lock),
    )
