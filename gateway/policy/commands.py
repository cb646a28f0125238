"""`gateway policy …`: check the policies, run their decision tables, explain decisions, compare proposals."""

from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from gateway.errors import GatewayError
from gateway.policy.diff_command import LoadProposedAgreement, diff_command
from gateway.policy.engine import PolicyEngine
from gateway.policy.explain_command import LoadBases, explain_command
from gateway.policy.past import OpenGateway
from gateway.policy.tables import load_tables, rules_without_a_case, run_tables

Folder = Callable[[Callable[..., None]], Callable[..., None]]
"""The `--policies` option, which every command takes."""


def policy_group(
    policies_dir: Callable[[], Path],
    load_bases: LoadBases,
    *,
    load_agreement: LoadProposedAgreement,
    open_gateway: OpenGateway,
) -> click.Group:
    """Return the command group; `policies_dir` is asked only where `--policies` is not given.

    `open_gateway` is called by what looks at past decisions alone.
    """
    folder = click.option(
        "--policies",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        callback=lambda _context, _option, value: value or policies_dir(),
        help="The folder of policies; the gateway's own by default.",
    )

    @click.group("policy")
    def group() -> None:
        """The policies: check them, test them, explain decisions, see what a proposal would have changed.

        Nothing here needs a running gateway; past decisions are read from its database.
        """

    group.add_command(_validate_command(folder, load_bases))
    group.add_command(_test_command(folder, load_bases))
    group.add_command(explain_command(folder, load_bases, open_gateway))
    group.add_command(diff_command(policies_dir, load_agreement, open_gateway))
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
