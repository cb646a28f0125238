"""What the `gateway audit` commands work with, made once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.wire.notes import VerifierKey, verifier_key_of
from gateway.wire.signer import Signer

ReceiptOf = Callable[[Session, str], str | None]
"""Returns the receipt (compact JWS) of an exchange by its id, or None when there is no such exchange."""

FindSubject = Callable[[Session, str, str], str | None]
"""Returns the reference of a person by what operators know: (`citizen` or `officer`, address) or (`exchange`, id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContext:
    """The gateway's own log: its database, its folder, its keys.

    `known_keys` are every key that has signed the log's checkpoints, the current one alone where none are given;
    `private_dirs` hold secrets that nobody but the gateway may read.
    """

    database: Database
    log_dir: Path
    origin: str
    signer: Signer
    clock: Clock
    receipt_of: ReceiptOf
    audit_log: AuditLog
    find_subject: FindSubject
    known_keys: tuple[VerifierKey, ...] = ()
    private_dirs: tuple[Path, ...] = ()
    merge_delay: float = 10.0
    """Seconds within which every committed event is under a published checkpoint."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The public key of the log's checkpoints."""
        return verifier_key_of(self.signer, self.origin)

    @property
    def trusted_keys(self) -> tuple[VerifierKey, ...]:
        """The public keys under which the gateway's own checkpoints are believed."""
        return self.known_keys or (self.verifier_key,)


OpenGateway = Callable[[], AuditContext]
"""Called only by the commands that need the gateway's own state."""
