"""The operator's check of the gateway's own store: files, tree, database, details, folders; to the end, not the first.

It goes over everything `verify` does and past the first fault, so that one look shows all damage. It changes nothing,
may run beside a working gateway, and takes a checkpoint that moves on meanwhile for what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.audit.append import AuditLog
from gateway.audit.checking.faults import Fault, FaultKind
from gateway.audit.checking.folder import check_folder, check_private
from gateway.audit.checking.rows import check_head, check_numbering, open_recorded, read_head, rows_check
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.tree import Progress
from gateway.audit.checking.trust import Trust
from gateway.audit.checking.verify import check_tree
from gateway.audit.errors import LogNotVerified, LogUnreadable
from gateway.audit.keeping.erase import returned_keys
from gateway.audit.tile_files import CHECKPOINT
from gateway.db import Database
from gateway.wire.encoding import b64_encode
from gateway.wire.notes import Checkpoint

MAX_LISTED = 1000
"""How many faults are kept for telling; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What is checked: the database, the log's folder, the folders of keys, and the way to the details."""

    database: Database
    log_dir: Path
    trust: Trust
    audit_log: AuditLog | None = None
    private_dirs: tuple[Path, ...] = ()
    merge_delay: float = 10.0
    """Seconds within which every committed event has its index."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was found: `faults` are wrong, `remarks` harm nothing. Both lists are bounded; the faults are counted."""

    faults: list[Fault] = field(default_factory=list)
    remarks: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    checkpoint: Checkpoint | None = None
    note: bytes | None = None

    def report(self, fault: Fault) -> None:
        """Take a fault."""
        self.fault_count += 1
        if len(self.faults) < MAX_LISTED:
            self.faults.append(fault)

    def remark(self, fault: Fault) -> None:
        """Take a remark."""
        if len(self.remarks) < MAX_LISTED:
            self.remarks.append(fault)

    def as_json(self) -> Mapping[str, Any]:
        """Return `{origin, size, root, faults, fault_count, remarks}`, the first three null without a checkpoint."""
        known = self.checkpoint
        return {
            "origin": known.origin if known is not None else None,
            "size": known.size if known is not None else None,
            "root": b64_encode(known.root) if known is not None else None,
            "faults": [fault.as_json() for fault in self.faults],
            "fault_count": self.fault_count,
            "remarks": [remark.as_json() for remark in self.remarks],
        }


def fsck(
    store: Store,
    *,
    now: datetime,
    remembered: Checkpoint | None = None,
    since: int | None = None,
    progress: Progress | None = None,
) -> Findings:
    """Check the whole store; with `remembered` or `since`, of the entries only those from there on."""
    found = Findings()
    # 1. What the database says, the signed checkpoint, and what the database says after that.
    before = read_head(store.database)
    on_disk = _on_disk(store, found, expected=before.note is not None)
    after = read_head(store.database)
    opened = open_recorded(before, store.trust.open, found.report)
    check_head(before, on_disk, after, opened=opened, report=found.report)

    # 2. Every file, tile and entry below it; and beside each entry its row, its columns, its details.
    checkpoint = on_disk or opened
    if checkpoint is not None:
        check_tree(
            FileSource(store.log_dir),
            checkpoint,
            report=found.report,
            remembered=remembered,
            first=min(since, checkpoint.size) if since is not None else None,
            check_entries=rows_check(store.database, audit_log=store.audit_log, report=found.report),
            progress=progress,
        )

    # 3. Rows that no published entry vouches for.
    published = checkpoint.size if checkpoint is not None else 0
    check_numbering(store.database, published=published, now=now, merge_delay=store.merge_delay, report=found.report)

    # 4. The folders: strays, leftovers, who may read what.
    numbered = max(read_head(store.database).size, published)
    if store.log_dir.exists():
        check_folder(store.log_dir, published=published, numbered=numbered, report=found.report, remark=found.remark)
    check_private(store.private_dirs, report=found.report)

    # 5. Keys that came back with a copy of their folder.
    if store.audit_log is not None:
        _check_erasures(store.database, store.audit_log, found)
    found.checkpoint = checkpoint
    return found


def _check_erasures(database: Database, audit_log: AuditLog, found: Findings) -> None:
    try:
        for _tag, key_id in returned_keys(database, audit_log):
            text = (
                f"the key {key_id.hex()} is there, though the log records its destruction: `gateway work` destroys it"
            )
            found.report(Fault(kind=FaultKind.ERASED, text=text))
    except OSError as error:
        text = "the keys of people cannot all be read"
        found.report(Fault(kind=FaultKind.ERASED, text=text, detail=str(error)))


def _on_disk(store: Store, found: Findings, *, expected: bool) -> Checkpoint | None:
    try:
        note = FileSource(store.log_dir).read(CHECKPOINT)
        if note is not None:
            found.note = note
            return store.trust.open(note)
    except (LogNotVerified, LogUnreadable) as error:
        found.report(Fault(kind=FaultKind.CHECKPOINT, text=error.public, detail=error.detail))
        return None
    if expected:
        found.report(Fault(kind=FaultKind.MISSING, text="the log's checkpoint is missing"))
    return None
