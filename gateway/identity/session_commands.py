"""`gateway sessions …`: where a person is signed in, and how an operator ends that."""

from collections.abc import Callable
from uuid import UUID

import click
from rich.console import Console
from rich.table import Column, Table
from sqlalchemy.orm import Session

from gateway.clock import rfc3339
from gateway.identity.accounts import Account, AccountKind, find_account_by_email
from gateway.identity.commands import AccountsContext
from gateway.identity.errors import AccountUnknown
from gateway.identity.sessions import list_sessions

BY = click.option("--by", required=True, help="Who decided this, for the log.")
REASON = click.option("--reason", required=True, help="Why, for the log.")
EMAIL = click.argument("email")
KIND = click.option(
    "--kind",
    type=click.Choice([kind.value for kind in AccountKind]),
    required=True,
    help="Which kind of account has this address.",
)


def sessions_group(open_context: Callable[[], AccountsContext]) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""
    group = click.Group("sessions", help="Where people are signed in; every service they use there is told of an end.")
    for command in (_list(open_context), _end(open_context), _end_all(open_context)):
        group.add_command(command)
    return group


def _list(open_context: Callable[[], AccountsContext]) -> click.Command:
    @click.command("list")
    @EMAIL
    @KIND
    def list_all(email: str, kind: str) -> None:
        """List the sessions of the person with this address, oldest first."""
        context = open_context()
        with context.database.read() as session:
            account = _account(session, email, kind)
            found = list_sessions(session, account.account_id, now=context.clock.now())
        # An id cut in two could not be typed again.
        table = Table(Column("session", no_wrap=True), "signed in at", "by", "ends when idle at", "ends at")
        for listed in found:
            times = (rfc3339(listed.idle_until), rfc3339(listed.expires_at))
            table.add_row(str(listed.session_id), rfc3339(listed.auth_time), " ".join(listed.methods), *times)
        Console().print(table)

    return list_all


def _end(open_context: Callable[[], AccountsContext]) -> click.Command:
    @click.command("end")
    @click.argument("session_id", metavar="SESSION", type=click.UUID)
    @BY
    @REASON
    def end(session_id: UUID, by: str, reason: str) -> None:
        """End one SESSION: its browser is signed out, and every service that was used there is told."""
        context = open_context()
        with context.database.write() as session:
            ended = context.people.ends.end(session, session_id, by=by, reason=reason, at=context.clock.now())
        if not ended:
            raise click.ClickException("There is no such session")
        click.echo(f"{session_id}: ended")

    return end


def _end_all(open_context: Callable[[], AccountsContext]) -> click.Command:
    @click.command("end-all")
    @EMAIL
    @KIND
    @BY
    @REASON
    def end_all(email: str, kind: str, by: str, reason: str) -> None:
        """End every session of the person with this address, and take back what services hold for them."""
        context = open_context()
        with context.database.write() as session:
            account = _account(session, email, kind)
            count = context.people.ends.end_all_of(
                session, account.account_id, by=by, reason=reason, at=context.clock.now()
            )
        click.echo(f"{account.email}: {count} session{'' if count == 1 else 's'} ended")

    return end_all


def _account(session: Session, email: str, kind: str) -> Account:
    account = find_account_by_email(session, AccountKind(kind), email)
    if account is None:
        raise click.ClickException(AccountUnknown().public)
    return account
