"""`gateway audit monitor`: a watch over somebody else's log. It needs no setting and nothing of a gateway."""

import json
import signal
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType

import click

from gateway.audit.checking.monitor import Finding, Monitor, Round, Watch
from gateway.audit.checking.options import CA_FILE, FILE, KEYS, POLICY, progress_bar, trust_of
from gateway.audit.checking.sources import source_of
from gateway.audit.checking.tree import Progress
from gateway.clock import Clock, SystemClock, rfc3339
from gateway.errors import GatewayError

REPEATED_AFTER = timedelta(seconds=60)
"""What is still wrong is said again, not more often than this."""


def monitor_command() -> click.Command:
    """Return the command."""

    @click.command("monitor")
    @click.option("--from", "location", required=True, metavar="DIR|URL", help="Where the log is.")
    @KEYS
    @POLICY
    @click.option("--state", type=FILE, required=True, help="The monitor's memory; made at the first run.")
    @click.option(
        "--receipts",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        help="A folder of receipts to find in the log: compact JWS, exchanges' answers, proof files. Needs a public "
        "keys file as --key.",
    )
    @click.option("--every", type=click.FloatRange(min=1), default=60.0, help="Seconds between two looks. [60]")
    @click.option("--once", is_flag=True, help="Look once and end.")
    @click.option(
        "--merge-delay", type=click.FloatRange(min=0), default=60.0, help="Seconds a receipt's entry may take. [60]"
    )
    @click.option("--quiet", type=click.FloatRange(min=1), help="Raise the alarm when nothing new came for this long.")
    @click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
    @CA_FILE
    def monitor(
        *,
        location: str,
        keys: tuple[str, ...],
        policy: Path | None,
        state: Path,
        receipts: Path | None,
        every: float,
        once: bool,
        merge_delay: float,
        quiet: float | None,
        as_json: bool,
        ca_file: Path | None,
    ) -> None:
        """Watch a log from outside: it must continue what it was, hold together, and hold every receipt.

        One line a finding: log_forked, log_not_verified, log_unreachable, log_not_advancing, receipt_missing,
        receipt_contradicted, receipt_unusable, monitor_state_unwritable. What is still wrong is said again, at most
        once a minute. SIGTERM or SIGINT ends the watch in order.

        Exit status: 0 nothing is wrong; 1 something was at the last look; 2 the command cannot be used.

        \b
          gateway audit monitor --from https://gateway.example/log --key public-keys.json --state gateway.json
          gateway audit monitor --from https://gateway.example/log --key public-keys.json --state gateway.json \\
              --receipts receipts/ --policy trust-policy.txt --every 300 --json
          gateway audit monitor --from log/ --key log.vkey --state gateway.json --once
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        trust = trust_of(keys, policy, None)
        if receipts is not None and not trust.receipt_keys:
            raise click.UsageError("--receipts needs a public keys file as --key: it holds the keys of receipts")
        try:
            watch = Watch(
                source=source_of(location, ca_file=ca_file),
                trust=trust,
                state_file=state,
                receipts=receipts,
                merge_delay=merge_delay,
                quiet=quiet,
            )
            watching = Monitor(watch)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        if not _run(watching, _Voice(as_json=as_json), every=0.0 if once else every, clock=SystemClock()):
            raise SystemExit(1)

    return monitor


class _Stopped(Exception):
    """Told to stop in the middle of a look: nothing of it is remembered."""


def _run(monitor: Monitor, voice: "_Voice", *, every: float, clock: Clock) -> bool:
    """Look until told to stop, or once where `every` is 0; returns whether all was well at the last look."""
    stop = threading.Event()
    well = True

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    if every:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
    while True:
        now = clock.now()
        try:
            with progress_bar("Verifying entries") as progress:
                last = monitor.look(now=now, progress=_stopping(progress, stop))
        except _Stopped:
            return well
        voice.tell(last, now=now)
        well = not last.findings
        if not every or stop.wait(every):
            return well


def _stopping(progress: Progress, stop: threading.Event) -> Progress:
    def told(done: int, total: int) -> None:
        if stop.is_set():
            raise _Stopped
        progress(done, total)

    return told


class _Voice:
    """Says what is new, what still holds, and what is over; a line each."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._said: dict[tuple[str, str], datetime] = {}
        self._told_size: int | None = None

    def tell(self, last: Round, *, now: datetime) -> None:
        open_now = {(finding.alarm.value, finding.about): finding for finding in last.findings}
        for over in [key for key in self._said if key not in open_now]:
            del self._said[over]
            facts = {"message": "alert ended", "ended": over[0], "about": over[1]}
            self._line(now, "info", facts, f"no longer: {over[0]} {over[1]}".rstrip())
        for key, finding in open_now.items():
            said = self._said.get(key)
            if said is None or now - said >= REPEATED_AFTER:
                self._said[key] = now
                self._alarm(now, finding)
        if last.size != self._told_size:
            self._told_size = last.size
            found = {"size": last.size, "new": last.new, "receipts_found": last.receipts_found}
            text = f"{last.size} entries verified, {last.new} of them new; {last.receipts_found} receipts found"
            self._line(now, "info", {"message": "verified", **found}, text)

    def _alarm(self, now: datetime, finding: Finding) -> None:
        # The shape of the gateway's own alerts, so that one rule of whoever collects lines finds both.
        facts = {"message": "alert", "alert": finding.alarm.value, "about": finding.about, "text": finding.text}
        self._line(now, "error", facts, f"{finding.alarm.value}: {finding.text}")

    def _line(self, now: datetime, level: str, facts: Mapping[str, object], text: str) -> None:
        if self._as_json:
            members = {"timestamp": rfc3339(now), "level": level, **facts}
            click.echo(json.dumps({name: value for name, value in members.items() if value != ""}))
        else:
            click.echo(f"{rfc3339(now)} {'ALARM ' if level == 'error' else ''}{_in_one_line(text)}")


def _in_one_line(text: str) -> str:
    # Whoever names a receipt's file must not write lines of his own here.
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
