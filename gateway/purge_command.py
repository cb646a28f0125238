"""`gateway purge`: what `gateway work` deletes while it runs, once and to the end."""

import time
from collections import Counter
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from gateway.app import Gateway
from gateway.purging import GROWTHS, Purging, sessions


def purge_command(open_gateway: Callable[[], Gateway]) -> click.Command:
    """Return the command; `open_gateway` is called when it runs."""

    @click.command("purge")
    def purge() -> None:
        """Delete all that is over, until nothing is left, and say how much that was.

        `gateway work` does the same all the time. This is for a gateway that ran without it, or before a copy of the
        database is made. It can run while the gateway serves: it works in small batches with pauses between them.
        What is over is told by this machine's clock, which must be right.
        """
        for name, rows in sorted(_purged(open_gateway()).items()):
            click.echo(f"{name}: {rows} rows")
        click.echo("nothing is left that is over")

    return purge


def _purged(gateway: Gateway) -> Counter[str]:
    done: Counter[str] = Counter()
    console = Console(stderr=True)
    shown = Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True)
    shown.disable = not console.is_terminal
    with shown:
        task = shown.add_task("looking for what is over", total=None)

        def told(name: str, rows: int) -> None:
            done[name] += rows
            shown.update(task, description=f"{done.total()} rows deleted, {name} at hand")

        purging = Purging(
            database=gateway.database,
            growths=(sessions(gateway.people.ends), *GROWTHS),
            now=gateway.clock.now,
            pause=_pause,
            told=told,
        )
        while purging.run_once():  # once more for the rows from which others hung
            pass
    return done


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
