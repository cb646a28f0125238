"""A log checked as an outsider would: from its files alone, and optionally against the database's rows.

1. The checkpoint is signed by a key the caller trusts, and cosigned as the caller's policy asks.
2. Every entry hashes to its place in the published level 0 tiles; every tile above follows from the one below.
3. The root that the tiles lead to is the signed one.
4. With a remembered checkpoint: the log begins with the very tree that was verified before, and only what came after
   it is read.

The first place that disagrees is named by its index.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.audit.checking.faults import Fault, FaultKind, Report
from gateway.audit.checking.rows import rows_check
from gateway.audit.checking.sources import LogSource, find_archived_range
from gateway.audit.checking.tree import CheckEntries, Progress, TreeCheck
from gateway.audit.checking.trust import Trust, read_checkpoint, trust_in
from gateway.audit.errors import HistoryContradicted, LogNotVerified, LogUnreadable
from gateway.wire.notes import Checkpoint

__all__ = ["VerifiedLog", "check_tree", "rows_check", "stop_at_first", "verify_archive", "verify_log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """A log that holds together: its entries [first, end), of `size`, lead to `root`, signed under `origin`.

    `note` is the signed checkpoint itself.
    """

    origin: str
    size: int
    root: bytes
    first: int
    end: int
    note: bytes


def verify_log(
    source: LogSource,
    *,
    vkey: str | Sequence[str] = (),
    trust: Trust | None = None,
    remembered: Checkpoint | None = None,
    progress: Progress | None = None,
    check_entries: CheckEntries | None = None,
) -> VerifiedLog:
    """Check the log against the verifier key or keys, or a whole `Trust`; memory does not grow with the log.

    With `remembered`, an earlier checkpoint that was verified, only newer entries are read (and the up to 255 before
    them in the same tile). `check_entries` is called with the index of the first of each run of new entries, and the
    run. Raises `LogNotVerified` naming the first index or tile that disagrees, `LogUnreadable` when a file is missing
    or the source fails.
    """
    trusted = trust or trust_in([vkey] if isinstance(vkey, str) else vkey)
    checkpoint, note = read_checkpoint(source, trusted)
    first = min(remembered.size, checkpoint.size) if remembered is not None else 0
    try:
        check_tree(
            source,
            checkpoint,
            report=stop_at_first,
            remembered=remembered,
            check_entries=check_entries,
            progress=progress,
        )
    except HistoryContradicted as error:
        error.note = note
        raise
    return _verified(checkpoint, note, first=first, end=checkpoint.size)


def verify_archive(
    source: LogSource,
    *,
    vkey: str | Sequence[str] = (),
    trust: Trust | None = None,
    progress: Progress | None = None,
    check_entries: CheckEntries | None = None,
) -> VerifiedLog:
    """Check an archive folder: its entries hash to its tiles, and those lead to the signed root.

    What it holds is what its `range.json` says: the caller sees `first` and `end`. Raises as `verify_log` does.
    """
    trusted = trust or trust_in([vkey] if isinstance(vkey, str) else vkey)
    held = find_archived_range(source)
    if held is None:
        raise LogUnreadable("this is no archive: it has no range.json")
    checkpoint, note = read_checkpoint(source, trusted)
    first, end = held
    if end > checkpoint.size:
        raise LogNotVerified(f"the archive's checkpoint covers {checkpoint.size} entries, its range ends at {end}")
    tree = TreeCheck(source, size=checkpoint.size, report=stop_at_first)
    tree.check(first, end, check_entries=check_entries, progress=progress)
    _check_root(tree, checkpoint, stop_at_first)
    return _verified(checkpoint, note, first=first, end=end)


def check_tree(
    source: LogSource,
    checkpoint: Checkpoint,
    *,
    report: Report,
    remembered: Checkpoint | None = None,
    first: int | None = None,
    check_entries: CheckEntries | None = None,
    progress: Progress | None = None,
) -> None:
    """Check everything below a signed checkpoint, from entry `first` on, or from what is remembered, or from 0.

    Every fault is told to `report`; when that does not raise, the check goes on to the end.
    """
    if remembered is not None and not _may_continue(checkpoint, remembered, report):
        # Reported. Where that did not end it, the whole log is checked for what it is.
        remembered = None
    old_size = remembered.size if remembered is not None else 0
    tree = TreeCheck(source, size=checkpoint.size, report=report, old_size=old_size)
    begin = old_size if first is None else first
    tree.check(begin, checkpoint.size, check_entries=check_entries, progress=progress)
    # The signed root makes every tile that was read the log's own statement: only then can an old root accuse it.
    sound = _check_root(tree, checkpoint, report)
    if remembered is not None and sound and tree.root_at(old_size) != remembered.root:
        report(_forked(checkpoint, remembered))


def stop_at_first(fault: Fault) -> None:
    """Raise the fault: `LogUnreadable` for a file that is missing or does not come, else `LogNotVerified`.

    Of the latter, `HistoryContradicted` where the log does not continue what is remembered.
    """
    if fault.kind in {FaultKind.MISSING, FaultKind.UNREADABLE}:
        raise LogUnreadable(fault.text, detail=fault.detail)
    if fault.kind is FaultKind.HISTORY:
        raise HistoryContradicted(fault.text, detail=fault.detail)
    raise LogNotVerified(fault.text, detail=fault.detail)


def _check_root(tree: TreeCheck, checkpoint: Checkpoint, report: Report) -> bool:
    root = tree.root_at(checkpoint.size)
    if root is not None and root != checkpoint.root:
        text = f"the {checkpoint.size} entries lead to another root than the signed one"
        report(Fault(kind=FaultKind.ROOT, text=text))
    return root == checkpoint.root


def _may_continue(checkpoint: Checkpoint, remembered: Checkpoint, report: Report) -> bool:
    """Report a checkpoint that cannot continue the remembered one, whatever its tiles say."""
    if checkpoint.origin != remembered.origin:
        text = f"the log is {checkpoint.origin}, what is remembered was {remembered.origin}"
    elif checkpoint.size < remembered.size:
        text = (
            f"the log was rolled back: it had {remembered.size} entries when it was last verified, "
            f"now its checkpoint has {checkpoint.size}"
        )
    elif checkpoint.size == remembered.size and checkpoint.root != remembered.root:
        report(_forked(checkpoint, remembered))
        return False
    else:
        return True
    report(Fault(kind=FaultKind.HISTORY, index=min(checkpoint.size, remembered.size), text=text))
    return False


def _forked(checkpoint: Checkpoint, remembered: Checkpoint) -> Fault:
    text = (
        f"the log has forked: its signed tree of {checkpoint.size} entries does not begin with the "
        f"signed tree of {remembered.size} entries that was verified before"
    )
    return Fault(kind=FaultKind.HISTORY, text=text)


def _verified(checkpoint: Checkpoint, note: bytes, *, first: int, end: int) -> VerifiedLog:
    return VerifiedLog(
        origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root, first=first, end=end, note=note
    )
