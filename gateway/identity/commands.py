"""`gateway accounts`: make, list, suspend and reinstate accounts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import click
import segno
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.identity.accounts import (
    Account,
    AccountKind,
    NewAccount,
    find_account_by_email,
    list_accounts,
)
from gateway.identity.errors import AccountUnknown
from gateway.identity.passwords import generate_password
from gateway.identity.people import People
from gateway.identity.registration import register_account, reinstate, suspend
from gateway.identity.security_codes import generate_code_secret, provisioning_uri
from gateway.listings import AS_JSON, print_listing

BY = "command line"
KIND = click.Choice([kind.value for kind in AccountKind])


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsContext:
    """What these commands work on."""

    database: Database
    people: People
    audit: AuditLog
    clock: Clock
    issuer: str


def accounts_group(open_context: Callable[[], AccountsContext]) -> click.Group:
    """Make the group; `open_context` is called when a command runs, not before."""
    commands = _Commands(open_context)
    group = click.Group("accounts", help="People who can sign in: citizens and officers.")
    name = [
        click.Option(["--given-name"], required=True, help="As the person writes it."),
        click.Option(["--family-name"], required=True, help="As the person writes it."),
    ]
    no_code = click.Option(["--without-code"], is_flag=True, help="Let this person sign in by password alone.")
    email = click.Argument(["email"])
    kind = click.Option(["--kind"], type=KIND, required=True, help="Which kind of account has this address.")
    member = click.Option(["--member"], required=True, help="The code of the member they work for.")
    role = click.Option(["--role"], multiple=True, help="A role they act in; may be repeated.")
    born = click.Option(["--birthdate"], type=click.DateTime(["%Y-%m-%d"]), help="For display only.")
    reason = click.Option(["--reason"], required=True, help="Recorded in the log.")
    for command in (
        click.Command("add-officer", callback=commands.add_officer, params=[email, *name, member, role, no_code]),
        click.Command("add-citizen", callback=commands.add_citizen, params=[email, *name, born, no_code]),
        click.Command("suspend", callback=commands.suspend, params=[email, kind, reason]),
        click.Command("reinstate", callback=commands.reinstate, params=[email, kind]),
        AS_JSON(click.Command("list", callback=commands.list)),
    ):
        command.help = (getattr(commands, command.name.replace("-", "_")).__doc__ or "") if command.name else ""
        group.add_command(command)
    return group


class _Commands:
    def __init__(self, open_context: Callable[[], AccountsContext]) -> None:
        self._open = open_context

    def add_officer(
        self, email: str, given_name: str, family_name: str, member: str, role: tuple[str, ...], *, without_code: bool
    ) -> None:
        """Make an account for a member's officer; prints its password and authenticator secret, once."""
        new = NewAccount(
            kind=AccountKind.OFFICER,
            email=email,
            given_name=given_name,
            family_name=family_name,
            member_code=member,
            roles=role,
            email_verified=True,
            password=generate_password(),
            code_secret=None if without_code else generate_code_secret(),
        )
        self._add(new)

    def add_citizen(
        self, email: str, given_name: str, family_name: str, birthdate: datetime | None, *, without_code: bool
    ) -> None:
        """Make an account for a citizen; prints its password and authenticator secret, once."""
        born: date | None = birthdate.date() if birthdate else None
        new = NewAccount(
            kind=AccountKind.CITIZEN,
            email=email,
            given_name=given_name,
            family_name=family_name,
            birthdate=born,
            password=generate_password(),
            code_secret=None if without_code else generate_code_secret(),
        )
        self._add(new)

    def suspend(self, email: str, kind: str, reason: str) -> None:
        """Stop somebody signing in; their sessions end now, and their tokens are refused from now on."""
        context = self._open()
        now = context.clock.now()
        with _told(), context.database.write() as session:
            account = _account(session, AccountKind(kind), email)
            suspend(session, account, people=context.people, audit=context.audit, by=BY, reason=reason, at=now)
        click.echo(f"Suspended {account.email}.")

    def reinstate(self, email: str, kind: str) -> None:
        """Let a suspended person sign in again."""
        context = self._open()
        now = context.clock.now()
        with _told(), context.database.write() as session:
            account = _account(session, AccountKind(kind), email)
            reinstate(session, account, people=context.people, audit=context.audit, by=BY, at=now)
        click.echo(f"Reinstated {account.email}.")

    def list(self, *, as_json: bool) -> None:
        """Print every account: kind, address, member, roles, state."""
        with self._open().database.read() as session:
            rows = [
                {
                    "kind": account.kind,
                    "email": account.email,
                    "member": account.member_code,
                    "roles": account.roles,
                    "state": "active" if account.active else "suspended",
                }
                for account in list_accounts(session)
            ]
        print_listing(("kind", "email", "member", "roles", "state"), rows, as_json=as_json)

    def _add(self, new: NewAccount) -> None:
        context = self._open()
        now = context.clock.now()
        with _told(), context.database.write() as session:
            account = register_account(session, new, people=context.people, audit=context.audit, by=BY, at=now)
        click.echo(f"Account:  {account.email} ({account.kind})\nPassword: {new.password}")
        if new.code_secret is not None:
            uri = provisioning_uri(new.code_secret, account=account, issuer_name=context.issuer)
            click.echo(f"Secret for the authenticator app: {new.code_secret}\n{uri}")
            segno.make(uri).terminal(compact=True)
        click.echo("Shown once: hand it over safely.")


class _told:  # noqa: N801 - used as a block: `with _told():`
    """Turns an error of ours into one line and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, GatewayError):
            raise click.ClickException(error.public) from error


def _account(session: Session, kind: AccountKind, email: str) -> Account:
    account = find_account_by_email(session, kind, email)
    if account is None:
        raise AccountUnknown
    return account
