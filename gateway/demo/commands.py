"""`gateway demo`: the whole gateway at work, with invented people."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway.demo.journey import Walk
from gateway.demo.layout import Layout
from gateway.demo.peopling import count_officers, count_others, write_officers, write_others
from gateway.demo.population import USUAL_SCALE
from gateway.demo.runner import alone_in, check_ports_free, end_if_asked, end_on_signals, forget_world, running, stay
from gateway.demo.world import WorldTools, build_world, open_sandbox
from gateway.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent.parent
USUAL_PORT = 8000
LARGEST_PORT = 65_533


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A gateway initialised for the demonstration."""

    tools: WorldTools
    public_keys: bytes
    """The public keys file with which outsiders verify."""
    close: Callable[[], None]


Prepare = Callable[[Settings], Prepared]
"""Makes keys and tables for these settings, and hands over the parts that the world is written with."""


def demo_command(prepare: Prepare) -> click.Command:
    """Return the command; `prepare` is called when it runs."""

    @click.command("demo", short_help="See everything at work, with invented people.")
    @click.option("--once", is_flag=True, help="Stop after the walk; the exit status tells whether every step held.")
    @click.option("--fresh", is_flag=True, help="Forget what earlier runs left, and start anew.")
    @click.option(
        "--port",
        default=USUAL_PORT,
        show_default=True,
        type=click.IntRange(1024, LARGEST_PORT),
        help="The gateway's port; department and portal take the next two.",
    )
    @click.option(
        "--scale",
        default=USUAL_SCALE,
        show_default=True,
        type=click.IntRange(0),
        help="Invent one person for so many real ones: 100 makes 7,185 officers, 1 makes 718,500, 0 none.",
    )
    @click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where keys, database and log are kept.  [default: var/ of the project; var-PORT/ for another --port]",
    )
    def demo(*, once: bool, fresh: bool, port: int, scale: int, state: Path | None) -> None:
        """Start a gateway, departments, a sandbox and a portal, and walk the main journey.

        An officer signs in, asks about an invented person, gets what the agreements cover, is refused what they do
        not; an auditor verifies the log. Then everything stays up to be tried in a browser, until Ctrl-C. The exit
        status is 0 when every step held, 1 otherwise.
        """
        end_on_signals()
        # What was signed and registered names the addresses: another port is another demonstration.
        default = PROJECT / ("var" if port == USUAL_PORT else f"var-{port}")
        layout = Layout(
            state_dir=(state or default).resolve(),
            policies_dir=PROJECT / "policies",
            gateway_port=port,
            provider_port=port + 1,
            portal_port=port + 2,
        )
        check_ports_free(layout)
        with alone_in(layout.state_dir):
            if fresh:
                forget_world(layout)
            click.echo(f"preparing {layout.state_dir}")
            held = _run(layout, prepare(layout.settings()), once=once, scale=scale)
        sys.exit(0 if held else 1)

    return demo


def _run(layout: Layout, prepared: Prepared, *, once: bool, scale: int) -> bool:
    accounts = build_world(prepared.tools, layout)
    open_sandbox(prepared.tools, layout)
    _write_people(layout, prepared.tools, scale=scale)
    public_keys = layout.world_dir / "public-keys.json"
    public_keys.write_bytes(prepared.public_keys)
    _write_environment(layout)
    prepared.close()
    click.echo("starting gateway, departments and portal")
    with running(layout):
        held = Walk(layout=layout, accounts=accounts, public_keys=public_keys, say=_say).run()
        if once:
            click.echo("every step held" if held else "not every step held")
        else:
            stay(layout, accounts)
    return held


def _write_people(layout: Layout, tools: WorldTools, *, scale: int) -> None:
    """Write whoever is missing at this scale, and show how far it is."""
    shown = Progress(TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with shown:
        officers = shown.add_task("officers", total=count_officers(scale))
        others = shown.add_task("people in records", total=count_others(scale))

        def told(task: TaskID, done: int) -> None:
            end_if_asked()
            shown.advance(task, done)

        write_officers(tools, scale=scale, told=partial(told, officers))
        write_others(layout, scale=scale, told=partial(told, others))


def _say(text: str) -> None:
    end_if_asked()
    click.echo(text)


def _write_environment(layout: Layout) -> None:
    """Leave the settings where a shell can read them, so that the operator's commands work on the demonstration."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in layout.settings().environment().items()]
    (layout.world_dir / "environment").write_text("\n".join([*lines, ""]), encoding="utf-8")
