"""`gateway evidence export`: one exchange in one file, for a dispute that is settled without us."""

import os
from pathlib import Path

import click

from gateway.audit.context import OpenGateway
from gateway.errors import GatewayError
from gateway.sharing.evidence.export import Reading, exchange_id, export_evidence


def evidence_group(open_gateway: OpenGateway) -> click.Group:
    """Return the command group; `open_gateway` is called when a command runs."""

    @click.group("evidence")
    def group() -> None:
        """Evidence: everything about one exchange in one file, settled offline with the gateway's public keys."""

    group.add_command(_export_command(open_gateway))
    return group


def _export_command(open_gateway: OpenGateway) -> click.Command:
    @click.command("export")
    @click.argument("exchange")
    @click.option(
        "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; else standard output."
    )
    @click.option("--with-details", is_flag=True, help="Include the details of the log's entry: personal data.")
    @click.option("--by", help="With --with-details: who reads them; recorded first.")
    @click.option("--reason", help="With --with-details: for what, without naming the person; recorded first.")
    def export(exchange: str, output: Path | None, *, with_details: bool, by: str | None, reason: str | None) -> None:
        """Write the evidence of EXCHANGE: receipt, log proof, what the provider signed, agreement and policy of then.

        No value of any record is in it: whoever kept the record reveals the fields it chooses. With --with-details it
        says who asked, for what and why it was decided so.

        \b
          gateway evidence export 0190c0de-… -o evidence.json
          gateway-client verify evidence.json --keys public-keys.json
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        if with_details != bool(by and reason):
            raise click.UsageError("details are read by somebody for something: --with-details with --by and --reason")
        reading = Reading(by=by, reason=reason) if by and reason else None
        try:
            evidence = export_evidence(
                open_gateway(), exchange_id(exchange), reading=reading, say=lambda text: click.echo(text, err=True)
            )
            file = evidence.encode()
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        if output is None:
            click.echo(file, nl=False)
            return
        _write(output, file)
        click.echo(f"{output}: written", err=True)

    return export


def _write(output: Path, file: bytes) -> None:
    # For its owner alone: it may hold personal data, and says in any case who asked whom.
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(file)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
