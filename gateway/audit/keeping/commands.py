"""`gateway audit erase`, `archive` and `export`: how details and entries leave, each step itself an entry."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import func, select

from gateway.audit.append import Event
from gateway.audit.context import AuditContext, OpenGateway
from gateway.audit.errors import NothingToErase
from gateway.audit.events import DONE
from gateway.audit.keeping.archive import Archive
from gateway.audit.keeping.erase import erase_subject
from gateway.audit.keeping.export import Format, export_lines
from gateway.audit.keeping.published import PublishedLog
from gateway.audit.keeping.reading import account_for
from gateway.audit.models import EventRow
from gateway.errors import GatewayError

COMMAND_LINE = "command line"


def keeping_commands(open_gateway: OpenGateway) -> tuple[click.Command, ...]:
    """Return the commands; `open_gateway` is called when one runs."""
    return (_erase_command(open_gateway), _archive_command(open_gateway), _export_command(open_gateway))


def _erase_command(open_gateway: OpenGateway) -> click.Command:
    @click.command("erase")
    @click.argument("reference", required=False)
    @click.option("--citizen", metavar="EMAIL", help="The person with this citizen's account.")
    @click.option("--officer", metavar="EMAIL", help="The person with this officer's account.")
    @click.option("--exchange", metavar="ID", help="The person whom this exchange was about.")
    @click.option("--by", required=True, help="Who erases; recorded.")
    @click.option("--reason", required=True, help="On which ground, without naming the person; recorded.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def erase(  # noqa: PLR0917 - click passes what was typed
        reference: str | None,
        citizen: str | None,
        officer: str | None,
        exchange: str | None,
        by: str,
        reason: str,
        yes: bool,  # noqa: FBT001 - as above
    ) -> None:
        """Destroy the key under which everything the log holds about one person is encrypted. It cannot be undone.

        The person is named by one of: the gateway's opaque REFERENCE of them, their account's address, or an
        exchange that was about them. Entries and proofs stay; nobody can read their details again. The account
        itself and the list of exchanges are not the log and stay. What happens from now on is under a new key.

        \b
          gateway audit erase --citizen ada.testcase@people.example --by "O Sample" --reason "request 2026/17"
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        named = {"reference": reference, "citizen": citizen, "officer": officer, "exchange": exchange}
        given = [(kind, value) for kind, value in named.items() if value is not None]
        if len(given) != 1:
            raise click.UsageError("name the person in one way: REFERENCE, --citizen, --officer or --exchange")
        context = open_gateway()
        with _told():
            subject = _subject(context, *given[0])
            count = _under_key_of(context, subject)
            if not yes:
                click.echo(f"{count:,} entries have details under this person's key. Nobody will be able to read them.")
                click.confirm("Erase?", abort=True)
            erasure = erase_subject(
                context.database,
                context.audit_log,
                subject=subject,
                by=by,
                reason=reason,
                at=context.clock.now(),
            )
        click.echo(f"Erased: key {erasure.key_id.hex()}, with the details of {count:,} entries.")
        if not erasure.newly_recorded:
            click.echo("The log had recorded this before; the key was still there, and is destroyed now.")
        click.echo("Copies of subject-keys/ still hold the key: destroy them as your backup rules say.")

    return erase


def _archive_command(open_gateway: OpenGateway) -> click.Command:
    @click.command("archive")
    @click.option("--before", type=click.DateTime(["%Y-%m-%d"]), help="Entries before this day (UTC).")
    @click.option("--up-to", type=click.IntRange(min=0), metavar="INDEX", help="Entries below this index.")
    @click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="A new folder.")
    @click.option("--delete-rows", is_flag=True, help="Then delete their rows from the database.")
    @click.option("--by", default=COMMAND_LINE, show_default=True, help="Who archives; recorded.")
    def archive(
        before: datetime | None,
        up_to: int | None,
        output: Path | None,
        delete_rows: bool,  # noqa: FBT001 - click passes what was typed
        by: str,
    ) -> None:
        """Write old entries to a folder that verifies on its own; with --delete-rows, delete their rows afterwards.

        Whole bundles of 256 entries, from where the last archive ended. The published log keeps everything, so every
        proof stays. Rows are deleted only once their details are forgotten; rows of what was done to the log itself
        stay. With --delete-rows alone, what earlier archives hold is deleted.

        \b
          gateway audit archive --before 2019-01-01 -o /srv/archives/2018 --delete-rows
          gateway audit verify --archive --from /srv/archives/2018 --key public-keys.json
        """  # noqa: D301 - as above
        making = output is not None or before is not None or up_to is not None
        if making and (output is None or (before is None) == (up_to is None)):
            raise click.UsageError("say where with -o, and up to where with either --before or --up-to")
        if not making and not delete_rows:
            raise click.UsageError("say what to archive, or --delete-rows")
        context = open_gateway()
        work = Archive(
            database=context.database,
            audit_log=context.audit_log,
            log_dir=context.log_dir,
            verifier_keys=context.trusted_keys,
        )
        with _told():
            if output is not None:
                end = work.end_before(before.replace(tzinfo=UTC)) if before is not None else up_to or 0
                with _shown("Archiving entries") as progress:
                    done = work.write(
                        output, up_to=end, by=by, at=context.clock.now(), delete_rows=delete_rows, progress=progress
                    )
                click.echo(f"{output}: entries {done.first:,} to {done.end - 1:,} of {done.size:,}, verified")
            if delete_rows:
                with _shown("Deleting rows") as progress:
                    deleted = work.delete_archived(progress=progress)
                click.echo(f"{deleted:,} rows deleted from the database")

    return archive


def _export_command(open_gateway: OpenGateway) -> click.Command:
    day = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])

    @click.command("export")
    @click.option(
        "--format",
        "form",
        type=click.Choice([item.value for item in Format]),
        default=Format.JSONL.value,
        show_default=True,
        help="What a line is.",
    )
    @click.option("--since", type=day, help="From the first entry of this time on (UTC).")
    @click.option("--until", type=day, help="Before the first entry of this time (UTC).")
    @click.option("--from-index", type=click.IntRange(min=0), metavar="INDEX", help="From this entry on.")
    @click.option("--to-index", type=click.IntRange(min=0), metavar="INDEX", help="Before this entry.")
    @click.option("--details", is_flag=True, help="With details; recorded as a reading, with --by and --reason.")
    @click.option("--by", help="Who reads the details.")
    @click.option("--reason", help="What for.")
    @click.option(
        "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file, instead of standard output."
    )
    def export(  # noqa: PLR0917 - click passes what was typed
        form: str,
        since: datetime | None,
        until: datetime | None,
        from_index: int | None,
        to_index: int | None,
        details: bool,  # noqa: FBT001 - as above
        by: str | None,
        reason: str | None,
        output: Path | None,
    ) -> None:
        """Write the published log out, a JSON object a line: jsonl with proofs, ocsf 1.5.0 or ecs 8.12.

        A line of jsonl proves itself against the checkpoint in the first line. Without --details there is nothing in
        it that is not public.

        \b
          gateway audit export --since 2026-01-01 -o entries.jsonl
          gateway audit export --format ocsf --details --by "S Operator" --reason "incident 7" -o events.ndjson
        """  # noqa: D301 - as above
        if details and not (by and reason):
            raise click.UsageError("details are read by somebody for something: give --by and --reason")
        if (since and from_index is not None) or (until and to_index is not None):
            raise click.UsageError("say where to begin and where to end by time or by index, not both")
        context = open_gateway()
        with _told():
            published = PublishedLog(context.log_dir, verifier_keys=context.trusted_keys)
            size = published.checkpoint.size
            first = published.first_since(since.replace(tzinfo=UTC)) if since else from_index or 0
            end = published.first_since(until.replace(tzinfo=UTC)) if until else size if to_index is None else to_index
            end = min(end, size)
            reader = None
            if details:
                told = {"by": by, "reason": reason, "format": form, "first": first, "end": end}
                event = Event(
                    name="audit.details.read",
                    outcome=DONE,
                    members=(),
                    details={**told, "count": max(0, end - first)},
                )
                reader = account_for(context.audit_log, event, at=context.clock.now())
            lines = export_lines(published, context.database, form=Format(form), first=first, end=end, reader=reader)
            with _shown("Exporting entries") as progress, _written(output) as file:
                for done, line in enumerate(lines, start=1):
                    file.write(line)
                    progress(done, end - first)
        if output is not None:
            which = f"entries {first:,} to {end - 1:,} of {size:,}" if first < end else f"none of the {size:,} entries"
            click.echo(f"{output}: {which}", err=True)

    return export


def _subject(context: AuditContext, kind: str, value: str) -> str:
    if kind == "reference":
        return value
    with context.database.read() as session:
        found = context.find_subject(session, kind, value)
    if found is None:
        raise NothingToErase(f"there is no {kind} {value}")
    return found


def _under_key_of(context: AuditContext, subject: str) -> int:
    key = context.audit_log.subject_keys.find_subject(subject)
    if key is None:
        raise NothingToErase
    under = (EventRow.subject_tag == key.tag, EventRow.key_id == key.key_id, EventRow.details != b"")
    with context.database.read() as session:
        return session.scalar(select(func.count()).select_from(EventRow).where(*under)) or 0


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except GatewayError as error:
        raise click.ClickException(error.public) from error


@contextmanager
def _shown(what: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)

        def progress(done: int, total: int) -> None:
            shown.update(task, completed=min(done, total), total=total)

        yield progress


@contextmanager
def _written(output: Path | None) -> Iterator[IO[str]]:
    """Yield where to write: a file appears whole or not at all, and is nobody else's to read."""
    if output is None:
        yield sys.stdout
        return
    unfinished = output.with_name(f".{output.name}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        unfinished.rename(output)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
