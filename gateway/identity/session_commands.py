"""`gateway sessions …`: where a person is signed in, and how an operator ends that."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias
from uuid import UUID

import click
from sqlalchemy.orm import Session

from gateway.clock import rfc3339
from gateway.identity.accounts import Account, AccountKind, find_account_by_email
from gateway.identity.commands import AccountsContext
from gateway.identity.errors import AccountUnknown
from gateway.identity.sessions import list_sessions
from gateway.listings import AS_JSON, print_listing

BY = click.option("--by", required=True, help="Who decided this, for the log.")
REASON = click.option("--reason", required=True, help="Why, for the log.")
EMAIL = click.argument("email")
KIND = click.option(
    "--kind",
    type=click.Choice([kind.value for kind in AccountKind]),
    required=True,
    help="Which kind of account has this address.",
)

ServicesOf: TypeAlias = Callable[[Session, Sequence[UUID]], Mapping[UUID, Sequence[str]]]
"""Names, for each of these sessions, the services to which its person is signed in there."""


def sessions_group(open_context: Callable[[], AccountsContext], services_of: ServicesOf) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""
    group = click.Group("sessions", help="Where people are signed in; every service they use there is told of an end.")
    for command in (_list(open_context, services_of), _end(open_context), _end_all(open_context)):
        group.add_command(command)
    return group


def _list(open_context: Callable[[], AccountsContext], services_of: ServicesOf) -> click.Command:
    @click.command("list")
    @EMAIL
    @KIND
    @AS_JSON
    def list_all(email: str, kind: str, *, as_json: bool) -> None:
        """List the sessions of the person with this address, oldest first, and the services used in each.

        A browser that has given the password alone is signed in nowhere, and is not listed.
        """
        context = open_context()
        with context.database.read() as session:
            account = _account(session, email, kind)
            found = list_sessions(session, account.account_id, now=context.clock.now())
            services = services_of(session, [listed.session_id for listed in found])
        rows = [
            {
                "session": str(listed.session_id),
                "services": services.get(listed.session_id, ()),
                "signed_in_at": rfc3339(listed.auth_time),
                "by": listed.methods,
                "ends_when_idle_at": rfc3339(listed.idle_until),
                "ends_at": rfc3339(listed.expires_at),
            }
            for listed in found
        ]
        columns = ("session", "services", "signed_in_at", "by", "ends_when_idle_at", "ends_at")
        print_listing(columns, rows, as_json=as_json)

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
    if account is not None:
        return account
    told = AccountUnknown().public
    for other in AccountKind:
        if other != kind and find_account_by_email(session, other, email) is not None:
            told = f"{told} of kind {kind}; there is one with --kind {other}"
    raise click.ClickException(told)
