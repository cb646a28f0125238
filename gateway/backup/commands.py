"""`gateway backup` and `gateway restore`."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway.app import Gateway
from gateway.audit.checking.verify import VerifiedLog
from gateway.backup.making import back_up
from gateway.backup.restoring import Restored, check_backup, go_forward, restore
from gateway.clock import rfc3339
from gateway.oidc.clients.assertion import CLOCK_SKEW, LONGEST_LIFETIME
from gateway.settings import Settings
from gateway.wire.encoding import b64_encode


def backup_command(open_gateway: Callable[[], Gateway]) -> click.Command:
    """Make `gateway backup`; `open_gateway` is called when it runs."""

    @click.command("backup")
    @click.argument("folder", type=click.Path(path_type=Path))
    def backup(folder: Path) -> None:
        """Copy the database and the published log into the new FOLDER, while the gateway serves.

        FOLDER must not exist. Private keys (`keys/`) and people's keys (`subject-keys/`) are not copied.
        """
        gateway = open_gateway()
        with _progress() as shown:
            manifest = back_up(gateway, folder, progress=_teller(shown))
        size = manifest.files[manifest.database].bytes
        click.echo(f"{folder}: database ({size:,} bytes), log of {manifest.size:,} entries")
        click.echo(f"Not in it: {gateway.settings.keys_dir}, without which it is of no use: keep it apart.")
        click.echo(f"Not in it: {gateway.settings.subject_keys_dir}: never keep a copy of it with this one.")

    return backup


def restore_command(settings: Callable[[], Settings], open_gateway: Callable[[], Gateway]) -> click.Command:
    """Make `gateway restore`; both arguments are called when it runs, the second only when all keys are there."""

    @click.command("restore")
    @click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
    @click.option("--forward", is_flag=True, help="Without FOLDER: the database is an old copy that was put back.")
    @click.option(
        "--nothing-was-published-since",
        is_flag=True,
        help="The log folder is empty, and nothing was published after this backup was made.",
    )
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def restore_(folder: Path | None, *, forward: bool, nothing_was_published_since: bool, yes: bool) -> None:
        """Put the backup in FOLDER back, where there is no database yet; stop the gateway first.

        The log folder is kept, and brings the database forward to all that was published. Sessions and tokens end.
        What the log says was suspended or changed after the backup is suspended. Then everything is verified: exit
        status 1 when it does not hold.

        \b
          gateway restore /backups/monday
          gateway restore --forward
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        if (folder is None) != forward:
            raise click.UsageError("Give the FOLDER of a backup, or --forward.")
        manifest = check_backup(folder, settings()) if folder is not None else None
        gateway = open_gateway()
        what = f"the backup of {manifest.made_at}" if manifest is not None else "the database that is there"
        if not yes:
            click.confirm(f"Go on from {what}, in {gateway.settings.state_dir}?", abort=True)
        with _progress() as shown:
            if folder is None or manifest is None:
                done = go_forward(gateway, progress=_teller(shown))
            else:
                done = restore(
                    gateway,
                    folder,
                    manifest,
                    nothing_published_since=nothing_was_published_since,
                    progress=_teller(shown),
                )
        gateway.database.close()
        _tell(gateway, done)

    return restore_


def _tell(gateway: Gateway, done: Restored) -> None:
    forward, lost, after = done.forward, done.lost, done.aftermath
    click.echo(f"The database held {forward.database_size:,} entries, {forward.published_size:,} were published.")
    if forward.lost:
        click.echo(f"{forward.lost:,} entries were taken from the published log; their details are lost:")
        for name, count in sorted(lost.by_name.items()):
            click.echo(f"  {count:6,}  {name}")
    for what, names in (
        ("Suspended agreements (`gateway agreements resume`)", after.agreements),
        ("Agreements to import again (`gateway agreements import`)", after.missing_agreements),
        ("Suspended officers (`gateway accounts reinstate`)", after.accounts),
        ("Stopped systems, whose registration changed", after.clients),
        ("Stopped members, whose registration changed", after.members),
    ):
        for name in names:
            click.echo(f"{what}: {name}")
    if lost.citizens_suspended:
        click.echo(
            f"{lost.citizens_suspended} suspensions of citizens' accounts are lost, and the log does not say whose."
        )
    click.echo(f"Ended: {after.sessions} sessions, {after.tokens} codes and tokens, {after.exchanges} exchanges.")
    if done.erased:
        click.echo(f"{done.erased} keys of people that were erased had come back, and are destroyed again.")
    _tell_verified(done.verified)
    # An assertion used just before the old database was lost could be used once more, for as long as it lasts.
    start = gateway.clock.now() + LONGEST_LIFETIME + CLOCK_SKEW + timedelta(seconds=1)
    click.echo(
        f"Start the gateway no earlier than {rfc3339(start)}: what was used once is forgotten, and expires by then."
    )


def _tell_verified(verified: VerifiedLog | None) -> None:
    if verified is None:
        click.echo("Nothing was ever published: there is no log to verify.")
        return
    click.echo(f"{verified.origin}: all {verified.size} entries verify, in the log and in the database")
    click.echo(f"root {b64_encode(verified.root)}")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _teller(shown: Progress) -> Callable[[str, int, int], None]:
    tasks: dict[str, TaskID] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = shown.add_task(what)
        shown.update(tasks[what], completed=done, total=total)

    return tell
