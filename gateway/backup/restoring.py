"""A backup put back: everything is checked first, nothing is overwritten, and the log goes on without a fork.

Whatever was published after the backup is taken from the log folder, which is kept; so the newest copy of the
published log must lie there before a restore begins.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.app import Gateway
from gateway.audit.checking.rows import rows_check
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.verify import VerifiedLog, verify_log
from gateway.audit.keeping.erase import reapply_erasures
from gateway.audit.tile_files import CHECKPOINT
from gateway.backup.aftermath import Aftermath, Lost, take_back
from gateway.backup.database_copy import (
    check_can_be_restored_into,
    check_nobody_else,
    restore_database,
)
from gateway.backup.errors import BackupDamaged, RestoreRefused, RestoreUnfinished
from gateway.backup.forward import Forward, bring_forward
from gateway.backup.log_copy import Progress, begins_with, check_log, copy_log, opened, published_note
from gateway.backup.manifest import LOG, Manifest, check_files, is_needed, needed_keys, read_manifest
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.migrate import migrate
from gateway.settings import Settings, process_environment
from gateway.signing.encryption import open_lock
from gateway.wire.notes import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done, and the log as it verifies now (None when nothing was ever published)."""

    forward: Forward
    lost: Lost
    aftermath: Aftermath
    erased: int
    """Keys of erased people that had come back with an old copy of `subject-keys/`, and are destroyed again."""
    verified: VerifiedLog | None


def check_backup(folder: Path, settings: Settings) -> Manifest:
    """Check that the folder is a whole backup, of this gateway, with whose keys it is of use here.

    Raises `BackupDamaged` or `RestoreRefused`. Needs nothing but the settings, and makes nothing.
    """
    manifest = read_manifest(folder)
    if manifest.origin != settings.log_origin:
        raise RestoreRefused(f"The backup is of the log {manifest.origin}, and this gateway's is {settings.log_origin}")
    check_files(folder, manifest)
    lock = open_lock(settings.keys_dir, settings.keys_passphrase)
    here = set(needed_keys(settings.keys_dir, lock).values())
    absent = [name for name, digest in manifest.keys.items() if digest not in here and is_needed(name)]
    if absent:
        raise RestoreRefused(
            f"{settings.keys_dir} lacks keys that this database was written with: {', '.join(absent)}. "
            "Put `keys/` back first, from where it is kept."
        )
    return manifest


def restore(
    gateway: Gateway, folder: Path, manifest: Manifest, *, nothing_published_since: bool, progress: Progress
) -> Restored:
    """Restore a checked backup into an empty database, then as `go_forward`.

    `nothing_published_since` is the operator's word that an empty log folder is no loss. Raises `RestoreRefused`,
    `BackupDamaged` or `DatabaseProgramFailed` with nothing changed, `RestoreUnfinished` when the database is back and
    what must follow failed.
    """
    settings = gateway.settings
    check_can_be_restored_into(gateway.database, kind=manifest.kind)
    has_log = _check_logs(gateway, folder, manifest, nothing_published_since=nothing_published_since, progress=progress)

    restore_database(gateway.database, folder / manifest.database, environment=process_environment(settings))
    # Restored: from here there is a database again, and `go_forward` alone makes it safe to serve from.
    try:
        migrate(settings.database_url)
        if not has_log and manifest.size:
            note = (folder / LOG / CHECKPOINT).read_bytes()
            copy_log(folder / LOG, settings.log_dir, note=note, size=manifest.size, progress=progress)
        return go_forward(gateway, progress=progress)
    except GatewayError as error:
        raise RestoreUnfinished(
            f"{error.public}. The database is back, but it is not safe to start: mend this, then "
            "`gateway restore --forward`",
            detail=error.detail,
        ) from error


def go_forward(gateway: Gateway, *, progress: Progress) -> Restored:
    """Bring a database that may be old up to the published log, take back what it would undo, verify everything.

    Safe to repeat. Raises `RestoreRefused` while the gateway runs, `LogForked` when database and log tell different
    stories, `LogNotVerified` when the log does not hold.
    """
    database, log_dir, now = gateway.database, gateway.settings.log_dir, gateway.clock.now()
    check_nobody_else(database)
    lost = Lost()
    with database.write() as session:
        forward = bring_forward(
            session, log_dir, keys=gateway.log_keys.known, notice=lost.notice, now=now, progress=progress
        )
        aftermath = take_back(session, gateway, lost, forward, now=now)
    # Committed: from here the database continues the published log, and nothing is in force that was taken back.
    return Restored(
        forward=forward,
        lost=lost,
        aftermath=aftermath,
        erased=reapply_erasures(database, gateway.audit),
        verified=_verified(gateway, database, progress),
    )


def _check_logs(
    gateway: Gateway, folder: Path, manifest: Manifest, *, nothing_published_since: bool, progress: Progress
) -> bool:
    """Check the backup's log and the one that is here, and that the one begins with the other; tell if one is here."""
    here, keys = gateway.settings.log_dir, gateway.log_keys.known
    copied = _checked_copy(gateway, folder, manifest, progress)
    note = published_note(here)
    if note is None:
        if manifest.size and not nothing_published_since:
            raise RestoreRefused(
                f"{here} holds no published log. What was published after this backup was made ({manifest.made_at}, "
                f"{manifest.size} entries) would be forgotten, while others remember it: put the newest copy of the "
                "log there first, from a mirror or the old disk. If there was nothing more, say "
                "--nothing-was-published-since."
            )
        return False
    present = opened(note, keys)
    check_log(here, keys, progress=progress)
    if copied is None:
        return True
    older, newer, newer_dir = (
        (copied, present, here) if copied.size <= present.size else (present, copied, folder / LOG)
    )
    if not begins_with(newer_dir, size=newer.size, older=older):
        raise RestoreRefused(f"The backup and the log in {here} are two histories: they differ before {older.size}")
    return True


def _checked_copy(gateway: Gateway, folder: Path, manifest: Manifest, progress: Progress) -> Checkpoint | None:
    note = published_note(folder / LOG)
    if note is None:
        if manifest.size:
            raise BackupDamaged("the backup's checkpoint is missing")
        return None
    check_log(folder / LOG, gateway.log_keys.known, progress=progress)
    copied = opened(note, gateway.log_keys.known)
    if copied.size != manifest.size:
        raise BackupDamaged(f"the backup's log has {copied.size} entries, its manifest says {manifest.size}")
    return copied


def _verified(gateway: Gateway, database: Database, progress: Progress) -> VerifiedLog | None:
    log_dir = gateway.settings.log_dir
    if published_note(log_dir) is None:
        return None
    return verify_log(
        FileSource(log_dir),
        vkey=[key.encode() for key in gateway.log_keys.known],
        check_entries=rows_check(database, audit_log=gateway.audit),
        progress=lambda done, total: progress("verifying log and database", done, total),
    )
