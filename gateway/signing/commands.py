"""`gateway keys list|rotate|retire`: the gateway's own keys, changed while outsiders keep verifying."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE
from gateway.clock import Clock
from gateway.db import Database
from gateway.signing.signing_keys import Purpose, add_key, key_files, key_id_of, retire_log_key

BY = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysContext:
    """What these commands work on."""

    keys_dir: Path
    database: Database
    audit: AuditLog
    clock: Clock


def key_commands(open_context: Callable[[], KeysContext]) -> tuple[click.Command, ...]:
    """Return the commands; `open_context` is called when one runs, not before."""

    @click.command("list")
    def list_keys() -> None:
        """List every key: what it signs, its number, whether it signs now, its id."""
        keys_dir = open_context().keys_dir
        for purpose in Purpose:
            files = key_files(keys_dir, purpose)
            for path in files:
                signs = path == files[-1] or purpose is Purpose.LOG
                click.echo(f"{purpose:9} {path.stem} {'signs' if signs else 'kept':8} {key_id_of(path)}")
            for path in key_files(keys_dir, purpose, retired=True):
                click.echo(f"{purpose:9} {path.stem} {'retired':8} {key_id_of(path)}")

    @click.command("rotate")
    @click.argument("purpose", type=click.Choice([purpose.value for purpose in Purpose]))
    def rotate(purpose: str) -> None:
        """Make the next key for PURPOSE. It signs once every process is started again.

        Keys before it stay published, and verify what they signed. Those of the log go on signing beside the new one
        until `gateway keys retire`, so that whoever knows the old one alone still verifies every checkpoint.
        """
        context, use = open_context(), Purpose(purpose)
        path = _recorded(context, "signing.key.added", use, lambda: add_key(context.keys_dir, use))
        click.echo(f"{path}: made; start every process of the gateway again")
        if use is Purpose.LOG:
            click.echo("Then publish it (`gateway audit key`, `gateway keys export`) and tell the witnesses.")

    @click.command("retire")
    @click.argument("purpose", type=click.Choice([Purpose.LOG.value]))
    @click.argument("number")
    def retire(purpose: str, number: str) -> None:
        """Let key NUMBER of the log sign no more, once every process is started again. It still opens what it signed.

        \b
          gateway keys retire log 0001
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        context = open_context()
        path = _recorded(
            context, "signing.key.retired", Purpose(purpose), lambda: retire_log_key(context.keys_dir, number)
        )
        click.echo(f"{path}: retired; start every process of the gateway again")

    return list_keys, rotate, retire


def _recorded(context: KeysContext, name: str, purpose: Purpose, change: Callable[[], Path]) -> Path:
    """Change a key and record it: nothing is recorded of a change that was refused."""
    with context.database.write() as session:
        path = change()
        details = {"key_use": purpose.value, "key_number": path.stem, "key_id": key_id_of(path), "by": BY}
        event = Event(name=name, outcome=DONE, members=(), details=details)
        context.audit.append(session, event, at=context.clock.now())
    return path
