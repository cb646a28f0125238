"""A backup made while the gateway serves: the published log first, the database after it, the manifest last."""

from importlib.metadata import version
from pathlib import Path

from sqlalchemy.orm import Session

from gateway.app import Gateway
from gateway.audit.models import LogHeadRow
from gateway.audit.tile_files import CHECKPOINT
from gateway.backup.database_copy import copy_database, kind_of
from gateway.backup.errors import BackupRefused
from gateway.backup.log_copy import Progress, begins_with, copy_log, opened, published_note
from gateway.backup.manifest import (
    LOG,
    MANIFEST,
    Manifest,
    digest_of,
    make_durable,
    needed_keys,
    write_durably,
)
from gateway.clock import rfc3339
from gateway.migrate import current_revision
from gateway.settings import process_environment


def back_up(gateway: Gateway, folder: Path, *, progress: Progress) -> Manifest:
    """Write a backup into a new folder that only its owner may read; returns its manifest.

    Raises `BackupRefused` when the folder is there already or the log's files do not lead to their own checkpoint,
    `LogUnreadable`, `DatabaseUnavailable`, `DatabaseProgramFailed`. What was written by then has no manifest.
    """
    try:
        folder.mkdir(mode=0o700, parents=False)
    except FileExistsError:
        raise BackupRefused(f"{folder} is there already: each backup goes into a new folder") from None
    except OSError as error:
        raise BackupRefused(f"{folder} cannot be made: {error.strerror}") from error

    # 1. The log as it is under the checkpoint that is published now.
    size = _copy_published_log(gateway, folder, progress)

    # 2. The database after it: it knows at least all that this checkpoint covers.
    made_at = gateway.clock.now()
    database, settings = gateway.database, gateway.settings
    with database.read() as session:
        _check_not_older(session, size)
        revision = current_revision(session)
    file = copy_database(database, folder, environment=process_environment(settings), progress=progress)

    # 3. The manifest. Written: from here the folder is a backup.
    held = [file, *([f"{LOG}/{CHECKPOINT}"] if size is not None else [])]
    manifest = Manifest(
        made_at=rfc3339(made_at),
        gateway=version("gateway"),
        issuer=settings.issuer,
        origin=settings.log_origin,
        kind=kind_of(database),
        revision=revision or "",
        size=size or 0,
        database=file,
        files={name: digest_of(folder / name) for name in held},
        keys=needed_keys(settings.keys_dir, gateway.keeping.lock),
    )
    write_durably(folder / MANIFEST, manifest.encode())
    make_durable(folder.parent)
    return manifest


def _copy_published_log(gateway: Gateway, folder: Path, progress: Progress) -> int | None:
    note = published_note(gateway.settings.log_dir)
    if note is None:
        return None
    checkpoint = opened(note, gateway.log_keys.known)
    copy_log(gateway.settings.log_dir, folder / LOG, note=note, size=checkpoint.size, progress=progress)
    if not begins_with(folder / LOG, size=checkpoint.size, older=checkpoint):
        raise BackupRefused("The log's tiles do not lead to its own checkpoint: run `gateway audit verify` first")
    return checkpoint.size


def _check_not_older(session: Session, size: int | None) -> None:
    numbered = session.get_one(LogHeadRow, 1).size
    if size is not None and numbered < size:
        raise BackupRefused(
            f"The database knows {numbered} entries, and {size} are published: it is an old copy itself. "
            "See `gateway restore --forward`."
        )
