"""`gateway audit verify | fsck | prove | monitor`: the log checked, proved and watched."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from gateway.audit.checking.fsck import Findings, Store, fsck
from gateway.audit.checking.monitor_command import monitor_command
from gateway.audit.checking.options import CA_FILE, FILE, KEYS, LOCATION, POLICY, progress_bar, trust_of
from gateway.audit.checking.prove_command import prove_command
from gateway.audit.checking.remembered import keep_contradiction, load_remembered, remember
from gateway.audit.checking.rows import rows_check
from gateway.audit.checking.sources import FileSource, LogSource, find_archived_range, source_of
from gateway.audit.checking.tree import CheckEntries
from gateway.audit.checking.trust import Trust
from gateway.audit.checking.verify import VerifiedLog, verify_archive, verify_log
from gateway.audit.context import OpenGateway
from gateway.audit.errors import HistoryContradicted
from gateway.errors import GatewayError, SettingsError
from gateway.wire.encoding import b64_encode


def checking_commands(open_gateway: OpenGateway) -> Sequence[click.Command]:
    """Return the four commands; `open_gateway` is called only where the gateway's own state is needed."""
    return (
        _verify_command(open_gateway),
        _fsck_command(open_gateway),
        prove_command(open_gateway),
        monitor_command(),
    )


def _verify_command(open_gateway: OpenGateway) -> click.Command:
    @click.command("verify")
    @LOCATION
    @KEYS
    @POLICY
    @click.option(
        "--state", type=FILE, help="Remember here how far the log was verified; next time only what is new is read."
    )
    @click.option("--archive", is_flag=True, help="The folder is an archive: check the range of entries that it holds.")
    @CA_FILE
    def verify(
        *,
        location: str | None,
        keys: tuple[str, ...],
        policy: Path | None,
        state: Path | None,
        archive: bool,
        ca_file: Path | None,
    ) -> None:
        """Verify the log: signature, every entry, every tile, the root. The first place that disagrees is named.

        Without --from, the gateway's own files are checked, and the database's rows and details against them. With
        --state, the log must also continue what was verified the last time.

        Exit status: 0 everything holds; 1 something does not, or cannot be read; 2 the command cannot be used.

        \b
          gateway audit verify
          gateway audit verify --from https://gateway.example/log --key public-keys.json
          gateway audit verify --from https://gateway.example/log --key public-keys.json --state gateway.checkpoint
          gateway audit verify --from https://gateway.example/log --policy trust-policy.txt
          gateway audit verify --from archive-0-65536 --archive --key public-keys.json
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        if archive and (location is None or state is not None):
            raise click.UsageError("--archive needs --from, and goes without --state")
        trust = trust_of(keys, policy, open_gateway)
        try:
            if location is None:
                context = open_gateway()
                source: LogSource = FileSource(context.log_dir)
                rows: CheckEntries | None = rows_check(context.database, audit_log=context.audit_log)
            else:
                source, rows = source_of(location, ca_file=ca_file), None
            verified = _verified_archive(source, trust) if archive else _verified(source, trust, state, rows)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        _tell_verified(verified)

    return verify


def _verified(source: LogSource, trust: Trust, state: Path | None, rows: CheckEntries | None) -> VerifiedLog:
    remembered = load_remembered(state, trust) if state is not None else None
    if isinstance(source, FileSource) and (held := find_archived_range(source)) is not None:
        # It must not pass for the whole log: whoever asked for that is told.
        message = f"this folder is an archive of entries {held[0]} to {held[1] - 1}: add --archive to check those"
        raise click.ClickException(message)
    with progress_bar("Verifying entries") as progress:
        try:
            verified = verify_log(source, trust=trust, remembered=remembered, progress=progress, check_entries=rows)
        except HistoryContradicted as error:
            if state is None or error.note is None:
                raise
            evidence = keep_contradiction(state, error.note)
            raise click.ClickException(f"{error.public}; the contradicting checkpoint is kept in {evidence}") from error
    if state is not None:
        remember(state, verified.note)
    return verified


def _verified_archive(source: LogSource, trust: Trust) -> VerifiedLog:
    with progress_bar("Verifying entries") as progress:
        return verify_archive(source, trust=trust, progress=progress)


def _tell_verified(verified: VerifiedLog) -> None:
    if (verified.first, verified.end) == (0, verified.size):
        click.echo(f"{verified.origin}: all {verified.size} entries verify")
    elif verified.first == verified.end:
        click.echo(f"{verified.origin}: nothing new, the log still has the {verified.size} entries verified before")
    elif verified.end == verified.size:
        click.echo(f"{verified.origin}: entries {verified.first} to {verified.end - 1} verify, and continue the rest")
    else:
        told = f"entries {verified.first} to {verified.end - 1} of {verified.size} verify"
        click.echo(f"{verified.origin}: {told}; the archive holds no others")
    click.echo(f"root {b64_encode(verified.root)}")


def _fsck_command(open_gateway: OpenGateway) -> click.Command:
    @click.command("fsck")
    @click.option("--since", type=click.IntRange(min=0), metavar="INDEX", help="Check entries from this index on.")
    @click.option("--state", type=FILE, help="Remember here how far the store was sound; next time check what is new.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
    def check(*, since: int | None, state: Path | None, as_json: bool) -> None:
        """Check the gateway's own store to its end: files, tree, database, details, folders, permissions.

        Every fault is listed with the index of the first entry it concerns, not only the first one; nothing is
        changed. It may run beside a working gateway.

        Exit status: 0 no fault; 1 faults; 2 the command cannot be used.

        \b
          gateway audit fsck
          gateway audit fsck --json
          gateway audit fsck --since 1000000
          gateway audit fsck --state /var/lib/gateway-checks/fsck.checkpoint
        """  # noqa: D301 - as above
        if since is not None and state is not None:
            raise click.UsageError("--since and --state exclude each other")
        try:
            found = _checked_store(open_gateway, since=since, state=state)
        except SettingsError as error:
            raise click.UsageError(error.public) from error
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        if as_json:
            click.echo(json.dumps(found.as_json(), indent=2))
        else:
            _tell_findings(found)
        if found.fault_count:
            raise SystemExit(1)

    return check


def _checked_store(open_gateway: OpenGateway, *, since: int | None, state: Path | None) -> Findings:
    context = open_gateway()
    trust = Trust(keys=context.trusted_keys)
    store = Store(
        database=context.database,
        log_dir=context.log_dir,
        trust=trust,
        audit_log=context.audit_log,
        private_dirs=context.private_dirs,
        merge_delay=context.merge_delay,
    )
    remembered = load_remembered(state, trust) if state is not None else None
    with progress_bar("Checking entries") as progress:
        found = fsck(store, now=context.clock.now(), remembered=remembered, since=since, progress=progress)
    size = found.checkpoint.size if found.checkpoint is not None else 0
    if since is not None and since > size and not found.fault_count:
        raise click.ClickException(f"the log has only {size} entries: none from {since} on could be checked")
    if state is not None and not found.fault_count and found.note is not None:
        remember(state, found.note)
    return found


def _tell_findings(found: Findings) -> None:
    for fault in found.faults:
        index = "-" if fault.index is None else fault.index
        click.echo(f"FAULT   {fault.kind.value:<12} {index:>10}  {fault.text}")
    for remark in found.remarks:
        click.echo(f"remark  {remark.text}")
    if found.fault_count > len(found.faults):
        click.echo(f"        and {found.fault_count - len(found.faults)} more faults")
    size = found.checkpoint.size if found.checkpoint is not None else 0
    click.echo(f"faults: {found.fault_count}, published entries: {size}")
