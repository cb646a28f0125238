"""Somebody outside who keeps watch over a log: what it said once, it must say for ever.

Each round:

1. The checkpoint is signed as trusted, and continues the remembered one; every new entry and tile is verified.
2. Every receipt at hand is in the log, within the merge delay of its time (which may not lie further ahead than that),
   and its entry tells the same story.
3. What was verified is remembered durably: after a restart the watch goes on where it stood.

A monitor knows nothing of the gateway but its address and its public keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from gateway.audit.checking.faults import Fault, FaultKind
from gateway.audit.checking.held_receipts import HeldReceipt, contradiction, load_receipt, stamps_of
from gateway.audit.checking.monitor_state import Watched, load_state, save_state
from gateway.audit.checking.remembered import keep_contradiction
from gateway.audit.checking.search import find_leaves
from gateway.audit.checking.sources import LogSource
from gateway.audit.checking.tree import Progress
from gateway.audit.checking.trust import Trust, read_checkpoint
from gateway.audit.checking.verify import check_tree, stop_at_first
from gateway.audit.errors import (
    HistoryContradicted,
    LogNotVerified,
    LogUnreadable,
    ReceiptUnusable,
    StateUnusable,
)
from gateway.clock import rfc3339
from gateway.wire.errors import InvalidTree
from gateway.wire.leaves import parse_leaf
from gateway.wire.merkle import leaf_hashes_of
from gateway.wire.notes import Checkpoint


class Alarm(StrEnum):
    """What a monitor can find. Stable names: programs act on them."""

    UNREACHABLE = "log_unreachable"  # no answer, or not the answer of a log
    NOT_VERIFIED = "log_not_verified"  # signature, cosignatures, tree: something does not hold
    FORKED = "log_forked"  # it does not continue what it was: a fork or a rollback
    NOT_ADVANCING = "log_not_advancing"  # nothing new for longer than the caller finds plausible
    RECEIPT_MISSING = "receipt_missing"  # a signed receipt whose entry is not in the log
    RECEIPT_CONTRADICTED = "receipt_contradicted"  # the entry tells another story than the receipt
    RECEIPT_UNUSABLE = "receipt_unusable"  # a file that is no receipt of this gateway
    STATE_UNWRITABLE = "monitor_state_unwritable"  # the monitor's own memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong now. `about` tells apart findings of one sort: a receipt's file name."""

    alarm: Alarm
    text: str
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One look at the log: what is wrong, how far it is verified, how much of that was new, how many receipts hold."""

    findings: tuple[Finding, ...]
    size: int
    new: int
    receipts_found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is watched, and how. Times are in seconds; `quiet` None: a log may stay as it is for ever."""

    source: LogSource
    trust: Trust
    state_file: Path
    receipts: Path | None = None
    merge_delay: float = 60.0
    quiet: float | None = None


class Monitor:
    """A watch that goes on; its memory is read at the start and written after each round that verified something."""

    def __init__(self, watch: Watch) -> None:
        """Read what is remembered; raises `StateUnusable` rather than begin anew with a damaged memory."""
        self._watch = watch
        self._state = self._saved = load_state(watch.state_file, watch.trust)

    def look(self, *, now: datetime, progress: Progress | None = None) -> Round:
        """Look once. Nothing is raised for what the log does: it is all in the findings."""
        findings, held = self._take_receipts()
        before = self._state.size
        seen = _Seen({item.entry for item in held})
        try:
            checkpoint, note = read_checkpoint(self._watch.source, self._watch.trust)
            self._verify(checkpoint, note, seen, progress)
            # Verified: from here the log is held to this checkpoint, whatever becomes of the receipts.
            grown = checkpoint.size > before or self._state.grown_at is None
            self._state = replace(
                self._state, checkpoint=checkpoint, note=note, grown_at=now if grown else self._state.grown_at
            )
            self._settle(held, seen, checkpoint, before)
        except HistoryContradicted as error:
            findings.append(Finding(alarm=Alarm.FORKED, text=error.public))
        except LogNotVerified as error:
            findings.append(Finding(alarm=Alarm.NOT_VERIFIED, text=error.public))
        except LogUnreadable as error:
            findings.append(Finding(alarm=Alarm.UNREACHABLE, text=error.public))
        else:
            findings += self._late(held, now)
        findings += self._overdue(now) + self._contradicted()
        findings += self._remember()
        found = sum(item.index is not None for item in self._state.receipts.values())
        return Round(
            findings=tuple(findings), size=self._state.size, new=self._state.size - before, receipts_found=found
        )

    def _verify(self, checkpoint: Checkpoint, note: bytes, seen: "_Seen", progress: Progress | None) -> None:
        def stop(fault: Fault) -> None:
            if fault.kind is FaultKind.MISSING:
                # The log has signed that it has this file: not serving it is no mere silence.
                raise LogNotVerified(fault.text, detail=fault.detail)
            stop_at_first(fault)

        try:
            check_tree(
                self._watch.source,
                checkpoint,
                report=stop,
                remembered=self._state.checkpoint,
                check_entries=seen.look,
                progress=progress,
            )
        except HistoryContradicted as error:
            raise HistoryContradicted(f"{error.public}{self._kept(note)}") from error

    def _kept(self, note: bytes) -> str:
        try:
            evidence = keep_contradiction(self._watch.state_file, note)
        except StateUnusable as error:
            return f"; the contradicting checkpoint could not be kept: {error.public}"
        return f"; the contradicting checkpoint is kept in {evidence.name}"

    def _take_receipts(self) -> tuple[list[Finding], list[HeldReceipt]]:
        """Read the receipts that are new, changed, or still looked for; forget those whose file is gone."""
        if self._watch.receipts is None:
            return [], []
        findings: list[Finding] = []
        held: list[HeldReceipt] = []
        watched: dict[str, Watched] = {}
        try:
            stamps = stamps_of(self._watch.receipts)
        except StateUnusable as error:
            return [Finding(alarm=Alarm.RECEIPT_UNUSABLE, text=error.public)], []
        for name, stamp in stamps.items():
            known = self._state.receipts.get(name)
            if known is not None and known.stamp == stamp and known.index is not None:
                watched[name] = known
                continue
            try:
                item = load_receipt(self._watch.receipts / name, self._watch.trust)
            except ReceiptUnusable as error:
                findings.append(Finding(alarm=Alarm.RECEIPT_UNUSABLE, about=name, text=error.public))
                continue
            held.append(item)
            same = known is not None and known.stamp == stamp
            watched[name] = known if known is not None and same else Watched(stamp=stamp)
        self._state = replace(self._state, receipts=watched)
        return findings, held

    def _settle(self, held: Sequence[HeldReceipt], seen: "_Seen", checkpoint: Checkpoint, before: int) -> None:
        """Find the entries of receipts: among the new ones, and for receipts that are new themselves among the old."""
        receipts = dict(self._state.receipts)
        unsearched = [item for item in held if receipts[item.name].searched < before]
        missing = {item.entry for item in unsearched} - seen.found.keys()
        if missing:
            first = min(receipts[item.name].searched for item in unsearched)
            seen.found.update(find_leaves(self._watch.source, checkpoint, missing, first=first, end=before))
        for item in held:
            place = seen.found.get(item.entry)
            if place is None:
                receipts[item.name] = replace(receipts[item.name], searched=checkpoint.size)
                continue
            index, entry = place
            receipts[item.name] = replace(receipts[item.name], index=index, wrong=_wrong(item, entry))
        self._state = replace(self._state, receipts=receipts)

    def _late(self, held: Sequence[HeldReceipt], now: datetime) -> list[Finding]:
        # A time that is still to come is no excuse: whoever signs receipts could date them so that none is ever late.
        delay = timedelta(seconds=self._watch.merge_delay)
        late = [
            item
            for item in held
            if self._state.receipts[item.name].index is None and not now - delay <= item.issued_at <= now + delay
        ]
        return [
            Finding(
                alarm=Alarm.RECEIPT_MISSING,
                about=item.name,
                text=f"{item.name}: the receipt of exchange {item.receipt.exchange}, issued {item.receipt.issued_at}, "
                f"is not among the log's {self._state.size} entries",
            )
            for item in late
        ]

    def _contradicted(self) -> list[Finding]:
        return [
            Finding(alarm=Alarm.RECEIPT_CONTRADICTED, about=name, text=f"{name}: entry {item.index}: {item.wrong}")
            for name, item in self._state.receipts.items()
            if item.wrong is not None
        ]

    def _overdue(self, now: datetime) -> list[Finding]:
        grown_at, quiet = self._state.grown_at, self._watch.quiet
        if quiet is None or grown_at is None or now - grown_at <= timedelta(seconds=quiet):
            return []
        text = f"the log has {self._state.size} entries, and no new one since {rfc3339(grown_at)}"
        return [Finding(alarm=Alarm.NOT_ADVANCING, text=text)]

    def _remember(self) -> list[Finding]:
        if self._state == self._saved:
            return []
        try:
            save_state(self._watch.state_file, self._state)
        except StateUnusable as error:
            return [Finding(alarm=Alarm.STATE_UNWRITABLE, text=error.public)]
        self._saved = self._state
        return []


class _Seen:
    """Watches verified entries go by for those that receipts name."""

    def __init__(self, wanted: set[bytes]) -> None:
        self._wanted = wanted
        self.found: dict[bytes, tuple[int, bytes]] = {}

    def look(self, first: int, entries: Sequence[bytes]) -> None:
        if not self._wanted:
            return
        for at, item in enumerate(leaf_hashes_of(entries)):
            if item in self._wanted:
                self.found[item] = (first + at, entries[at])


def _wrong(item: HeldReceipt, entry: bytes) -> str | None:
    try:
        return contradiction(item.receipt, parse_leaf(entry))
    except InvalidTree as error:
        return error.public
