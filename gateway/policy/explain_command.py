"""`gateway policy explain`: a rule, a past request, or one that is imagined, in plain words."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from gateway.audit.append import Event
from gateway.audit.events import DONE
from gateway.clock import parse_rfc3339, rfc3339
from gateway.errors import GatewayError
from gateway.policy.decision import DecisionInputs, Reason
from gateway.policy.documents import load_document
from gateway.policy.engine import POLICY_ERROR, PolicyEngine
from gateway.policy.errors import PolicyInvalid
from gateway.policy.explaining import Explanation, explain, lines_of
from gateway.policy.kept_texts import find_texts
from gateway.policy.past import OpenGateway, PastDecision, PolicyContext
from gateway.policy.tables import AgreementBase, imagined
from gateway.wire.contracts import NO_RECORD

# Codes of refusals that no rule of rules.cedar gives, and what they mean.
_WITHOUT_RULE = (
    (
        POLICY_ERROR,
        """A rule could not be evaluated on these facts. That is never a permit: the request is refused, whatever the
other rules say. The fault lies with the policies or the gateway, not with whoever asked.""",
    ),
    (
        Reason(code=NO_RECORD, title="There is no record that can be shared", rule=NO_RECORD, about_subject=True),
        """The one answer for every reason that lies in the person: unknown, ambiguous, withheld, an objection, living
elsewhere, matched too weakly. Consumers cannot tell them apart. Which it was is shown by the exchange's id with
--about-the-person, --by and --reason.""",
    ),
)
LoadBases = Callable[[Path], Mapping[str, AgreementBase]]
"""Reads and checks the services and agreements of a policies folder; agreements by name (`DSA-003.1`)."""

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

# Said of every request that nobody made: its agreement may be unsigned, suspended or long over.
_WHAT_IS_IMAGINED = (
    "Imagined, with nothing looked up: a decision table's agreement is taken as signed by both members and in force,\n"
    "and the day is the table's unless --at says another. How agreements really stand: gateway agreements list.\n"
)
# Each option beside the fact that it changes: group, name, and whether it may be given several times.
_IMAGINED = (
    ("--client", "caller", "client_id", False, "The client that asks."),
    ("--member", "caller", "member", False, "The member that the client is of."),
    ("--role", "caller", "roles", True, "A role of the officer; several times for several."),
    ("--acr", "caller", "acr", False, "How strongly the officer signed in: AAL1, AAL2, AAL3."),
    ("--service", "request", "service", False, "The service asked."),
    ("--purpose", "request", "purpose", False, "The purpose."),
    ("--field", "request", "fields", True, "A field asked for; several times for several."),
    ("--case-reference", "request", "case_reference", False, "The case reference; empty for none."),
    ("--subject-kind", "request", "subject_kind", False, "How the person is named: sub or match."),
)


def _moment(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else rfc3339(parse_rfc3339(value))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a moment such as 2026-11-23T09:30:00Z") from error


def explain_command(folder: Decorator, load_bases: LoadBases, open_gateway: OpenGateway) -> click.Command:
    """Return the command; `open_gateway` is called for past requests alone."""

    @click.command("explain")
    @folder
    @click.argument("name", required=False)
    @click.option(
        "--agreement", help="Imagine a request under this agreement (DSA-003.1), as its decision table begins."
    )
    @_imagined_options
    @click.option("--at", callback=_moment, help="When it is imagined: 2026-11-23T09:30:00Z.")
    @click.option(
        "--request",
        "file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Imagine what a YAML or JSON file says: all facts, or `agreement` and `change` as in a decision table.",
    )
    @click.option("--about-the-person", is_flag=True, help="Show rules about the person of a past request, too.")
    @click.option("--by", help="Who reads the officer's id and roles and the case reference too; recorded first.")
    @click.option("--reason", help="With --by: for what, without naming the person; recorded first.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
    def explain_it(
        *,
        policies: Path,
        name: str | None,
        agreement: str | None,
        file: Path | None,
        at: str | None,
        about_the_person: bool,
        by: str | None,
        reason: str | None,
        as_json: bool,
        **changes: Any,
    ) -> None:
        """Explain a rule, a past request or an imagined one. Without anything, list every rule.

        NAME is a rule's @id or code, as refusals give them, or the id of an exchange. A past request is decided again
        by the policies of then, on the facts of then. An imagined one begins as the decision table of an agreement
        does; each option changes one fact. Of a past request, --by and --reason show the officer's id and roles and the
        case reference too, and --about-the-person besides the rules about the person.

        \b
          gateway policy explain agreement_expired
          gateway policy explain 0190c0de-0000-7000-8000-000000000000
          gateway policy explain --agreement DSA-003.1 --role librarian --field eligible
          gateway policy explain --request imagined.yaml
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        given = {option: value for option, value in changes.items() if value not in (None, ())}
        try:
            if file is not None or agreement is not None:
                if name is not None or (file is not None and (agreement is not None or given or at)):
                    raise click.UsageError("explain one thing: NAME, --request, or --agreement with its changes")
                inputs = _imagine(policies, load_bases, file=file, agreement=agreement, given=given, at=at)
                explanation = explain(PolicyEngine.load(policies), inputs, about_person=True, naming=True)
                # On standard error, so that JSON stays JSON.
                click.echo(_WHAT_IS_IMAGINED, err=True)
                _show(explanation, as_json=as_json)
                return
            if given or at:
                raise click.UsageError("an imagined request begins from an agreement: give --agreement")
            exchange = _exchange_id(name)
            if exchange is None:
                _explain_rule(PolicyEngine.load(policies), name)
                return
            if bool(by) != bool(reason) or (about_the_person and not by):
                raise click.UsageError("personal data are read by somebody for something: give --by and --reason")
            reading = {"by": by, "reason": reason} if by else None
            _explain_past(
                open_gateway(), exchange, policies, reading=reading, about_person=about_the_person, as_json=as_json
            )
        except GatewayError as error:
            raise click.ClickException(error.public) from error

    return explain_it


def _imagined_options(command: Callable[..., None]) -> Callable[..., None]:
    for flag, group, fact, several, said in reversed(_IMAGINED):
        command = click.option(flag, f"{group}__{fact}", multiple=several, help=said)(command)
    return command


def _imagine(
    policies: Path,
    load_bases: LoadBases,
    *,
    file: Path | None,
    agreement: str | None,
    given: Mapping[str, Any],
    at: str | None,
) -> DecisionInputs:
    change: dict[str, Any] = {} if at is None else {"now": at}
    for option, value in given.items():
        group, _, fact = option.partition("__")
        change.setdefault(group, {})[fact] = list(value) if isinstance(value, tuple) else value or None
    if file is not None:
        document = load_document(file)
        if not isinstance(document, dict):
            raise PolicyInvalid(f"{file.name}: an imagined request is all facts, or agreement and change")
        if "caller" in document:
            try:
                return DecisionInputs.from_document(document)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise PolicyInvalid(f"{file.name}: the facts cannot be read: {error}") from error
        if not document.keys() <= {"agreement", "change"}:
            raise PolicyInvalid(f"{file.name}: an imagined request is all facts, or agreement and change")
        agreement, change = document.get("agreement"), document.get("change") or {}
    return imagined(policies, load_bases(policies), agreement=str(agreement), change=change)


def _explain_past(
    context: PolicyContext,
    exchange: UUID,
    policies: Path,
    *,
    reading: Mapping[str, Any] | None,
    about_person: bool,
    as_json: bool,
) -> None:
    with context.database.read() as session:
        past = context.past.find(session, exchange)
        texts = find_texts(session, past.policy_digest) if past is not None else None
    if past is None:
        raise PolicyInvalid(f"there is no exchange {exchange}")
    engine = PolicyEngine.from_texts(texts) if texts is not None else PolicyEngine.load(policies)
    if reading is not None:
        # Durable before anything is shown.
        told = {**reading, "format": "explanation", "first": 0, "end": 0, "count": 1}
        context.audit.record(
            Event(name="audit.details.read", outcome=DONE, members=(), details=told, reference=str(exchange)),
            at=context.clock.now(),
        )
    explanation = explain(engine, _inputs_of(past), about_person=about_person, naming=reading is not None)
    if not as_json:
        click.echo(f"Exchange {exchange}: {past.outcome}.")
        if engine.digest != past.policy_digest:
            click.echo("The policies of then were not kept; these are the ones of today.")
    _show(explanation, as_json=as_json)
    if past.told is not None and past.told != explanation.decided and not as_json:
        click.echo(f"\nWhat was told then is another decision: {past.told}.")


def _inputs_of(past: PastDecision) -> DecisionInputs:
    try:
        return past.inputs()
    except (KeyError, TypeError, ValueError) as error:
        raise PolicyInvalid("the facts of this decision cannot be read", detail=str(error)) from error


def _show(explanation: Explanation, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(explanation.to_document(), indent=2, ensure_ascii=False))
        return
    for line in lines_of(explanation):
        click.echo(line)


def _explain_rule(engine: PolicyEngine, name: str | None) -> None:
    reasons = engine.registers.reasons
    if name is None:
        for reason in (*reasons.values(), *(reason for reason, _meaning in _WITHOUT_RULE)):
            click.echo(f"{reason.code:34} {reason.rule:38} {reason.title}")
        return
    for reason, meaning in _WITHOUT_RULE:
        if name in (reason.rule, reason.code):
            click.echo(f"{reason.title}\n\ncode: {reason.code}\nrule: {reason.rule}\n\n{meaning}")
            return
    found = next((reason for reason in reasons.values() if name in (reason.rule, reason.code)), None)
    if found is None:
        raise click.ClickException(f"there is no rule {name}; without a name all are listed")
    click.echo(f"{found.title}\n\ncode: {found.code}\nrule: {found.rule}")
    if found.about_subject:
        click.echo("The consumer is told no_record instead: this would tell something about the person.")
    click.echo(f"\n{engine.rules[found.rule]}")


def _exchange_id(name: str | None) -> UUID | None:
    try:
        return UUID(name) if name is not None else None
    except ValueError:
        return None
