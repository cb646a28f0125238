"""`gateway policy …`: check the policies, run their decision tables, say what a rule means."""

from collections.abc import Callable, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gateway.errors import GatewayError
from gateway.policy.engine import PolicyEngine
from gateway.policy.tables import AgreementBase, load_tables, rules_without_a_case, run_tables

LoadBases = Callable[[Path], Mapping[str, AgreementBase]]
"""Reads and checks the services and agreements of a policies folder; agreements by name (`DSA-003.1`)."""

Folder = Callable[[Callable[..., None]], Callable[..., None]]
"""The `--policies` option, which every command takes."""


def policy_group(policies_dir: Callable[[], Path], load_bases: LoadBases) -> click.Group:
    """Return the command group; `policies_dir` is asked only where `--policies` is not given."""
    folder = click.option(
        "--policies",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        callback=lambda _context, _option, value: value or policies_dir(),
        help="The folder of policies; the gateway's own by default.",
    )

    @click.group("policy")
    def group() -> None:
        """The policies: check them, test them, explain their rules. Nothing here needs a running gateway."""

    group.add_command(_validate_command(folder, load_bases))
    group.add_command(_test_command(folder, load_bases))
    group.add_command(_explain_command(folder))
    return group


def _validate_command(folder: Folder, load_bases: LoadBases) -> click.Command:
    @click.command("validate")
    @folder
    def validate(policies: Path) -> None:
        """Check schema, rules, reasons, lists, services, agreements and decision tables against each other.

        Exit status 0 when everything fits; 1 names the first file and place that does not. Changes nothing.
        """
        try:
            engine = PolicyEngine.load(policies)
            bases = load_bases(policies)
            cases = load_tables(policies, bases)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        click.echo(f"rules: {len(engine.registers.reasons)}, agreements: {len(bases)}, cases: {len(cases)}; all fit")
        click.echo(engine.digest)

    return validate


def _test_command(folder: Folder, load_bases: LoadBases) -> click.Command:
    @click.command("test")
    @folder
    def test(policies: Path) -> None:
        """Run the decision tables of policies/tests, and list what was decided otherwise.

        Every rule must be expected by at least one case. Exit status 0 when every case holds, 1 otherwise.
        """
        try:
            engine = PolicyEngine.load(policies)
            cases = load_tables(policies, load_bases(policies))
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        outcomes = run_tables(engine, cases)
        failed = [outcome for outcome in outcomes if not outcome.holds]
        if failed:
            table = Table("table", "case", "expected", "decided")
            for outcome in failed:
                table.add_row(outcome.case.table, outcome.case.name, outcome.case.expected, outcome.decided)
            Console().print(table)
        unshown = rules_without_a_case(engine, cases)
        for rule in unshown:
            click.echo(f"no case expects the rule {rule}")
        click.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} cases hold")
        if failed or unshown or not outcomes:
            raise click.exceptions.Exit(1)

    return test


def _explain_command(folder: Folder) -> click.Command:
    @click.command("explain")
    @folder
    @click.argument("name", required=False)
    def explain(policies: Path, name: str | None) -> None:
        """Say what a rule means: NAME is its @id or its code, as a refusal gives them. Without NAME, list them all.

        \b
          gateway policy explain agreement_expired
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        try:
            engine = PolicyEngine.load(policies)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        reasons = engine.registers.reasons
        if name is None:
            for rule, reason in reasons.items():
                click.echo(f"{reason.code:34} {rule:38} {reason.title}")
            return
        found = next((reason for reason in reasons.values() if name in (reason.rule, reason.code)), None)
        if found is None:
            raise click.ClickException(f"there is no rule {name}; without a name all are listed")
        click.echo(f"{found.title}\n\ncode: {found.code}\nrule: {found.rule}")
        if found.about_subject:
            click.echo("The consumer is told no_record instead: this would tell something about the person.")
        click.echo(f"\n{engine.rules[found.rule]}")

    return explain
