"""What the `gateway audit` commands work with, made once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.log_keys import LogKeys
from gateway.clock import Clock
from gateway.db import Database
from gateway.wire.notes import VerifierKey

ReceiptOf = Callable[[Session, str], str | None]
"""Returns the receipt (compact JWS) of an exchange by its id, or None when there is no such exchange."""

FindSubject = Callable[[Session, str, str], str | None]
"""Returns the reference of a person by what operators know: (`citizen` or `officer`, address) or (`exchange`, id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContext:
    """The gateway's own log: its database, its folder, its keys.

    `private_dirs` hold secrets that nobody but the gateway may read.
    """

    database: Database
    log_dir: Path
    log_keys: LogKeys
    clock: Clock
    receipt_of: ReceiptOf
    audit_log: AuditLog
    find_subject: FindSubject
    private_dirs: tuple[Path, ...] = ()
    merge_delay: float = 10.0
    """Seconds within which every committed event is under a published checkpoint."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The newest public key of the log's checkpoints."""
        return self.log_keys.newest

    @property
    def trusted_keys(self) -> tuple[VerifierKey, ...]:
        """The public keys under which the gateway's own checkpoints are believed."""
        return self.log_keys.known


OpenGateway = Callable[[], AuditContext]
"""Called only by the commands that need the gateway's own state."""
