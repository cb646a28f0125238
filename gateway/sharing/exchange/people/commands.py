"""`gateway objections …` and `gateway restrictions …`: people about whom nothing is told, and how they got there.

Whom a command names stands in no event and no log line: events tell how many were added or taken off.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog, Event
from gateway.audit.events import DONE
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.identity.accounts import Account, AccountKind, find_account_by_email
from gateway.listings import AS_JSON, print_listing
from gateway.sharing.agreements.agreements import named_objection_lists
from gateway.sharing.catalogue.services import find_service
from gateway.sharing.exchange.people.files import check_description, check_number, read_people
from gateway.sharing.exchange.people.objections import (
    list_objection_lists,
    record_objections,
    remove_objections,
    remove_objections_before,
)
from gateway.sharing.exchange.people.restrictions import (
    EVERY_SERVICE,
    count_restrictions,
    record_restrictions,
    remove_restrictions,
)
from gateway.sharing.exchange.people.subjects import Translator

BATCH = 500
"""People of one transaction: on the embedded database other writers wait for it some hundredths of a second."""

BY = click.option("--by", required=True, help="Who decided this, for the log.")
REASON = click.option("--reason", required=True, help="Why, for the log; without anything that names the person.")
WITHOUT_NUMBER = click.option(
    "--without-number",
    is_flag=True,
    help="Enter people whose NINO is not known, too: a question that spells their name otherwise does not find them.",
)
_LIST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._-]{0,99}\Z")  # as agreements may name it
Command = TypeVar("Command", bound=Callable[..., None])
_WHO = (
    click.option("--email", help="The address of the citizen's account here."),
    click.option("--nino", help="The National Insurance number."),
    click.option("--nino-fragment", help="Its last four digits, where no more is known."),
    click.option("--family-name", help="With --birthdate."),
    click.option("--birthdate", help="YYYY-MM-DD, with --family-name."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleContext:
    """What these commands work on."""

    database: Database
    audit: AuditLog
    clock: Clock
    translator: Translator


OpenContext = Callable[[], PeopleContext]


def objections_group(open_context: OpenContext) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""

    @click.group("objections")
    def group() -> None:
        """Lists of people who object to a use of their records, such as the National Data Opt-out.

        An agreement names the lists it heeds; about those who stand on one, its consumer is told that there is no
        record. Only keyed hashes of names are kept. Say all that you know of a person: they are found by a number,
        and by family name and date of birth where a question has no number.

        \b
          gateway objections add national-data-opt-out --nino QQ123456C --family-name Sample --birthdate 1990-01-31 \\
            --by "A Sample" --reason "letter 17"
          gateway objections import national-data-opt-out people.csv --replace --by "A Sample" --reason "week 47"
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap

    for command in (_add(open_context), _remove(open_context), _list(open_context), _import(open_context)):
        group.add_command(command)
    return group


def restrictions_group(open_context: OpenContext) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""

    @click.group("restrictions")
    def group() -> None:
        """People about whom a service, or every service, answers nothing: an objection upheld, a protected record."""

    for command in (_restrict(open_context), _lift(open_context), _counts(open_context)):
        group.add_command(command)
    return group


def _naming_a_person(command: Command) -> Command:
    for option in reversed(_WHO):
        command = option(command)
    return command


def _list_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if _LIST_NAME.match(value) is None:
        raise click.BadParameter("a list's name is letters, digits, and any of / . _ -")
    return value


LIST = click.argument("name", metavar="LIST", callback=_list_name)
NEW_LIST = click.option(
    "--new-list", is_flag=True, help="Though no agreement names LIST yet: nothing heeds it till then."
)


def _add(open_context: OpenContext) -> click.Command:
    @click.command("add")
    @LIST
    @_naming_a_person
    @NEW_LIST
    @WITHOUT_NUMBER
    @BY
    @REASON
    def add(name: str, by: str, reason: str, *, new_list: bool, without_number: bool, **who: str | None) -> None:
        """Put one person on LIST, which some agreement names. Doing it twice changes nothing."""
        context = open_context()
        with context.database.write() as session:
            _check_heeded(session, name, new_list=new_list)
            _check_number(who, without_number=without_number)
            references, now = _references(session, context, who), context.clock.now()
            before = record_objections(session, name, references, at=now)
            _record(context, session, name, added=int(before < len(references)), removed=0, by=by, reason=reason)
        click.echo(f"{name}: {'stood there already' if before == len(references) else 'added'}")

    return add


def _remove(open_context: OpenContext) -> click.Command:
    @click.command("remove")
    @LIST
    @_naming_a_person
    @BY
    @REASON
    def remove(name: str, by: str, reason: str, **who: str | None) -> None:
        """Take one person off LIST: say the same of them as when they were added."""
        context = open_context()
        with context.database.write() as session:
            gone = remove_objections(session, name, _references(session, context, who))
            if not gone:
                raise click.ClickException(f"nobody of whom this is said stands on {name}")
            _record(context, session, name, added=0, removed=1, by=by, reason=reason)
        click.echo(f"{name}: removed")

    return remove


def _list(open_context: OpenContext) -> click.Command:
    @click.command("list")
    @AS_JSON
    def list_all(*, as_json: bool) -> None:
        """List the lists: how many names stand on each (a person has one to three), and when it last grew."""
        with open_context().database.read() as session:
            lists = list_objection_lists(session)
        rows = [{"list": each.name, "names": each.names, "changed_at": each.changed_at.isoformat()} for each in lists]
        print_listing(("list", "names", "changed_at"), rows, as_json=as_json)

    return list_all


def _import(open_context: OpenContext) -> click.Command:
    @click.command("import")
    @LIST
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--replace", is_flag=True, help="Take everybody else off the list afterwards.")
    @NEW_LIST
    @WITHOUT_NUMBER
    @BY
    @REASON
    def import_all(
        name: str, file: Path, by: str, reason: str, *, replace: bool, new_list: bool, without_number: bool
    ) -> None:
        """Put everybody in FILE on LIST, which some agreement names.

        FILE is CSV with a heading, of any of nino, nino_fragment, family_name, given_name, birthdate, postcode. All of
        it is read first: where a line is wrong, nothing is changed. It goes on in small batches while the gateway
        serves, and may be begun anew when it was interrupted.
        """
        context = open_context()
        with context.database.read() as session:
            _check_heeded(session, name, new_list=new_list)
        try:
            people = sum(1 for _person in read_people(file, without_number=without_number))
            began = context.clock.now()
            with _shown(people) as progress:
                _import_people(context, name, file, progress)
            gone = _remove_others(context, name, before=began) if replace else 0
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        with context.database.write() as session:
            _record(context, session, name, added=people, removed=gone, by=by, reason=reason)
        click.echo(f"{name}: {people} people from the file{f', {gone} other names taken off' if replace else ''}")

    return import_all


def _check_heeded(session: Session, name: str, *, new_list: bool) -> None:
    """Refuse a list that no agreement names: it is more likely misspelt, and whoever objected would be disclosed."""
    named = named_objection_lists(session)
    if name in named:
        return
    if not new_list:
        known = f"; agreements name {', '.join(named)}" if named else ""
        raise click.ClickException(
            f"no agreement names a list {name}{known}; give --new-list where an agreement is going to"
        )
    click.echo(f"No agreement names {name} yet: until one does, nothing heeds it.", err=True)


def _import_people(context: PeopleContext, name: str, file: Path, progress: Progress) -> None:
    task = progress.task_ids[0]
    people = iter(read_people(file, without_number=True))  # checked before
    while batch := list(islice(people, BATCH)):
        references = [
            reference for person in batch for reference in context.translator.references_kept(description=person)
        ]
        with context.database.write() as session:
            record_objections(session, name, references, at=context.clock.now())
        progress.advance(task, len(batch))


def _remove_others(context: PeopleContext, name: str, *, before: datetime) -> int:
    total = 0
    while True:
        with context.database.write() as session:
            gone = remove_objections_before(session, name, before, limit=BATCH)
        total += gone
        if gone < BATCH:
            return total


def _restrict(open_context: OpenContext) -> click.Command:
    @click.command("add")
    @_naming_a_person
    @click.option("--service", default=EVERY_SERVICE, help="Only this service; every one if absent.")
    @WITHOUT_NUMBER
    @BY
    @REASON
    def add(service: str, by: str, reason: str, *, without_number: bool, **who: str | None) -> None:
        """Restrict one person: consumers are told that there is no record. Doing it twice changes nothing."""
        context = open_context()
        with context.database.write() as session:
            if service != EVERY_SERVICE and find_service(session, service) is None:
                raise click.ClickException(f"there is no service {service}")
            _check_number(who, without_number=without_number)
            references = _references(session, context, who)
            record_restrictions(session, subjects=references, service=service, at=context.clock.now())
            _record_restriction(context, session, service, added=1, removed=0, by=by, reason=reason)
        click.echo("restricted")

    return add


def _lift(open_context: OpenContext) -> click.Command:
    @click.command("lift")
    @_naming_a_person
    @click.option("--service", default=EVERY_SERVICE, help="As when the person was restricted.")
    @BY
    @REASON
    def lift(service: str, by: str, reason: str, **who: str | None) -> None:
        """Lift the restriction of one person: say the same of them as when they were restricted."""
        context = open_context()
        with context.database.write() as session:
            if not remove_restrictions(session, subjects=_references(session, context, who), service=service):
                raise click.ClickException("nobody of whom this is said is restricted so")
            _record_restriction(context, session, service, added=0, removed=1, by=by, reason=reason)
        click.echo("lifted")

    return lift


def _counts(open_context: OpenContext) -> click.Command:
    @click.command("list")
    @AS_JSON
    def list_all(*, as_json: bool) -> None:
        """List how many names are restricted for each service (* is every one); a person has one to three names."""
        with open_context().database.read() as session:
            counts = count_restrictions(session)
        print_listing(
            ("service", "names"),
            [{"service": service, "names": names} for service, names in counts.items()],
            as_json=as_json,
        )

    return list_all


def _check_number(who: dict[str, str | None], *, without_number: bool) -> None:
    """Refuse to enter somebody without their number, unless told to."""
    try:
        if not without_number:
            check_number({name: text.strip() for name, text in who.items() if text is not None})
    except GatewayError as error:
        raise click.ClickException(error.public) from error


def _references(session: Session, context: PeopleContext, who: dict[str, str | None]) -> tuple[str, ...]:
    """Return under which references the person whom the options name is entered."""
    account = _account(session, who.pop("email"))
    description = {name: text.strip() for name, text in who.items() if text is not None}
    try:
        if account is None or description:
            check_description(description)
    except GatewayError as error:
        raise click.ClickException(error.public) from error
    return context.translator.references_kept(account=account, description=description)


def _account(session: Session, email: str | None) -> Account | None:
    if email is None:
        return None
    account = find_account_by_email(session, AccountKind.CITIZEN, email)
    if account is None:
        raise click.ClickException("no citizen has an account with this address")
    return account


def _shown(people: int) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    progress.add_task("people", total=people)
    return progress


def _record(
    context: PeopleContext, session: Session, name: str, *, added: int, removed: int, by: str, reason: str
) -> None:
    details = {"list": name, "added": added, "removed": removed, "by": by, "reason": reason}
    event = Event(name="sharing.objections.changed", outcome=DONE, members=(), details=details)
    context.audit.append(session, event, at=context.clock.now())


def _record_restriction(
    context: PeopleContext, session: Session, service: str, *, added: int, removed: int, by: str, reason: str
) -> None:
    details = {"service": service, "added": added, "removed": removed, "by": by, "reason": reason}
    event = Event(name="sharing.restrictions.changed", outcome=DONE, members=(), details=details)
    context.audit.append(session, event, at=context.clock.now())
