"""`gateway policy diff`: which past decisions would be others under what is proposed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.audit.append import Event
from gateway.audit.events import DONE
from gateway.clock import rfc3339
from gateway.errors import GatewayError
from gateway.policy.decision import AgreementFacts
from gateway.policy.engine import PolicyEngine
from gateway.policy.kept_texts import find_texts
from gateway.policy.past import OpenGateway, PolicyContext, Span
from gateway.policy.replaying import Change, Proposal, Replay, Tally

LoadProposedAgreement = Callable[[Path, Path], AgreementFacts]
"""Reads a proposed agreement's file, checked against the services and lists of a policies folder."""

DIFFERENT, UNUSABLE = 1, 2
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def diff_command(
    policies_dir: Callable[[], Path], load_agreement: LoadProposedAgreement, open_gateway: OpenGateway
) -> click.Command:
    """Return the command."""

    @click.command("diff")
    @click.option(
        "--policies",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="A proposed folder: its schema, rules and lists. The gateway's own if absent.",
    )
    @click.option(
        "--agreement", "agreements", type=_FILE, multiple=True, help="A proposed version of an agreement; or several."
    )
    @click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only exchanges opened on this UTC day or later.")
    @click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Only exchanges opened before this UTC day.")
    @click.option("--limit", type=click.IntRange(min=1), help="At most so many decisions, the newest.")
    @click.option("--by", help="Who reads which decisions rest on something about the person; recorded first.")
    @click.option("--reason", help="With --by: for what, without naming a person; recorded first.")
    @click.option("--json", "as_json", is_flag=True, help="JSON Lines: an object a change, and the counts as the last.")
    def diff(
        *,
        policies: Path | None,
        agreements: tuple[Path, ...],
        since: datetime | None,
        until: datetime | None,
        limit: int | None,
        by: str | None,
        reason: str | None,
        as_json: bool,
    ) -> None:
        """Replay past decisions, the newest first, and list exactly those that would be others.

        Each is decided again on the facts of then: who asked, what for, how often before, what was known of the person.
        Only what is proposed takes another's place. A proposed version of an agreement stands in for every version of
        its reference, as much in force as that was and from the same day on; and behind requests of its consumer for
        its service that had no agreement, or none for their purpose. Nothing but who reads about people is written.

        A refusal that would be permitted, and whatever would be no_record, shows something about the person (an
        objection, a restriction). Such decisions are only counted, unless --by and --reason say who reads
        them for what.

        Exit status: 0 no decision would change; 1 some would; 2 something cannot be read, or not be decided again.

        \b
          gateway policy diff --policies proposed/
          gateway policy diff --agreement DSA-003.2.yaml --since 2026-01-01 --json
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        if bool(by) != bool(reason):
            raise click.UsageError("what is about people is read by somebody for something: give --by and --reason")
        try:
            folder = policies or policies_dir()
            proposed = tuple(load_agreement(path, folder) for path in agreements)
            proposal = Proposal(engine=PolicyEngine.load(folder), agreements=proposed)
            context = open_gateway()
        except GatewayError as error:
            _cannot(error.public)
        span = Span(since=_day(since), until=_day(until), limit=limit)
        if by and reason:
            _record_reading(context, span, by=by, reason=reason)
        tally = _replay(context, proposal, span, naming=bool(by), as_json=as_json)
        if tally.unreadable:
            raise click.exceptions.Exit(UNUSABLE)
        if tally.changed:
            raise click.exceptions.Exit(DIFFERENT)

    return diff


def _record_reading(context: PolicyContext, span: Span, *, by: str, reason: str) -> None:
    """Make durable who reads about how many, before anything is shown."""
    count = context.past.count(context.database, span)
    told = {"by": by, "reason": reason, "format": "policy diff", "first": 0, "end": count, "count": count}
    event = Event(name="audit.details.read", outcome=DONE, members=(), details=told)
    context.audit.record(event, at=context.clock.now())


def _replay(context: PolicyContext, proposal: Proposal, span: Span, *, naming: bool, as_json: bool) -> Tally:
    def texts_of(digest: str) -> dict[str, Any] | None:
        with context.database.read() as session:
            return find_texts(session, digest)

    replay = Replay(proposal, texts_of)
    with _shown(context.past.count(context.database, span)) as counted:
        past = context.past.newest_first(context.database, span)
        for change in replay.changes(counted(past)):
            if naming or not change.tells_of_person:
                click.echo(json.dumps(_document(change)) if as_json else _line(change))
    _summary(replay.tally, naming=naming, as_json=as_json)
    return replay.tally


def _line(change: Change) -> str:
    past = change.past
    agreement = past.agreement or "no agreement"
    return f"{past.exchange}  {rfc3339(past.at)}  {agreement}  {change.before}  ->  {change.after}"


def _document(change: Change) -> dict[str, Any]:
    past = change.past
    return {
        "exchange": str(past.exchange),
        "at": rfc3339(past.at),
        "agreement": past.agreement,
        "outcome": past.outcome,
        "from": str(change.before),
        "to": str(change.after),
        "rules": list(change.rules),
    }


def _summary(tally: Tally, *, naming: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(tally.to_document()))
        return
    for title, counts in (("agreement", tally.by_agreement), ("rule", tally.by_rule)):
        for name, count in sorted(counts.items()):
            click.echo(f"{title} {name}: {count} would change")
    click.echo(f"{tally.changed} of {tally.decisions} decisions would change")
    if tally.about_people and not naming:
        click.echo(
            f"{tally.about_people} of those show something about the person: with --by and --reason they are listed"
        )
    if tally.unreadable:
        click.echo(f"{tally.unreadable} cannot be decided again: their facts or the policies of then were not kept")


@contextmanager
def _shown(total: int) -> Iterator[Callable[[Iterator[Any]], Iterator[Any]]]:
    columns = (TextColumn("Replaying decisions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("replay", total=total)

        def counted(items: Iterator[Any]) -> Iterator[Any]:
            for item in items:
                shown.advance(task)
                yield item

        yield counted


def _day(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _cannot(reason: str) -> NoReturn:
    click.echo(f"gateway: {reason}", err=True)
    raise click.exceptions.Exit(UNUSABLE)
