"""`gateway audit prove`: files that convince somebody who does not trust the gateway."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gateway.audit.checking.options import CA_FILE, KEYS, LOCATION, POLICY, trust_of
from gateway.audit.checking.proofs import prove_entry, prove_growth
from gateway.audit.checking.prove import ExchangeProof, prove_when_published
from gateway.audit.checking.sources import FileSource, LogSource, source_of
from gateway.audit.checking.trust import Trust
from gateway.audit.context import AuditContext, OpenGateway
from gateway.audit.errors import EventNotFound
from gateway.errors import GatewayError

_LOG_PROOF = "tlog-proof"


def prove_command(open_gateway: OpenGateway) -> click.Command:
    """Return the command."""

    @click.command("prove")
    @click.argument("exchanges", metavar="[EXCHANGE]...", nargs=-1)
    @click.option("--index", "indexes", type=click.IntRange(min=0), multiple=True, help="Prove this entry of the log.")
    @click.option(
        "--from-size", "old_size", type=click.IntRange(min=0), help="Prove that the log grew from its first N entries."
    )
    @click.option(
        "--format",
        "form",
        type=click.Choice(["json", _LOG_PROOF]),
        help="json (exchanges), or C2SP tlog-proof, which any tlog client reads (exchanges and entries).",
    )
    @click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help="Write here, not to standard output; a folder where there are several proofs.",
    )
    @LOCATION
    @KEYS
    @POLICY
    @CA_FILE
    def prove(
        *,
        exchanges: tuple[str, ...],
        indexes: tuple[int, ...],
        old_size: int | None,
        form: str | None,
        output: Path | None,
        location: str | None,
        keys: tuple[str, ...],
        policy: Path | None,
        ca_file: Path | None,
    ) -> None:
        """Write the proof of each EXCHANGE: one file that holds its receipt, its log entry and the entry's inclusion.

        Anybody can check it offline with the gateway's public keys. Entries (--index) and growth (--from-size) can be
        proved by anybody who can read the log (--from).

        Exit status: 0 every proof is written; 1 one cannot be made; 2 the command cannot be used.

        \b
          gateway audit prove 0190c0de-… -o proof.json
          gateway-client verify proof.json --keys public-keys.json
          gateway audit prove 0190c0de-… 0190c0df-… --format tlog-proof -o proofs/
          gateway audit prove --index 73894 --from https://gateway.example/log --key public-keys.json
          gateway audit prove --from-size 60000 -o growth.json
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        asked = len(exchanges) + len(indexes) + (old_size is not None)
        if not asked:
            raise click.UsageError("name an exchange, --index or --from-size")
        if indexes and form == "json":
            raise click.UsageError("an entry alone is proved in the format tlog-proof")
        if exchanges and location is not None:
            raise click.UsageError(
                "an exchange is proved by its gateway; whoever reads the log proves entries (--index)"
            )
        if asked > 1 and (output is None or output.is_file()):
            raise click.UsageError("several proofs are written into a folder: -o FOLDER")
        trust = trust_of(keys, policy, open_gateway)
        source = source_of(location, ca_file=ca_file) if location is not None else FileSource(open_gateway().log_dir)
        try:
            for name, proof in (
                *_exchange_proofs(open_gateway, trust, exchanges, form),
                *_entry_proofs(source, trust, indexes),
                *(
                    ()
                    if old_size is None
                    else [(f"growth-from-{old_size}.json", prove_growth(source, trust, old_size))]
                ),
            ):
                _write(name, proof, output, into_folder=asked > 1)
        except GatewayError as error:
            raise click.ClickException(error.public) from error

    return prove


def _exchange_proofs(
    open_gateway: OpenGateway, trust: Trust, exchanges: Sequence[str], form: str | None
) -> Iterator[tuple[str, bytes]]:
    for exchange in exchanges:
        proof = _proof_of(open_gateway(), trust, exchange)
        if form == _LOG_PROOF:
            yield f"{exchange}.tlog-proof", proof.as_log_proof()
        else:
            yield f"{exchange}.json", proof.as_json()


def _entry_proofs(source: LogSource, trust: Trust, indexes: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    for index in indexes:
        yield f"entry-{index}.tlog-proof", prove_entry(source, trust, index).as_log_proof()


def _proof_of(context: AuditContext, trust: Trust, exchange: str) -> ExchangeProof:
    with context.database.read() as session:
        receipt = context.receipt_of(session, exchange)
    if receipt is None:
        raise EventNotFound(f"there is no exchange {exchange}, or it has no outcome yet")
    return prove_when_published(
        context.database,
        log_dir=context.log_dir,
        trust=trust,
        reference=exchange,
        receipt=receipt,
        wait_seconds=context.merge_delay,
    )


def _write(name: str, proof: bytes, output: Path | None, *, into_folder: bool) -> None:
    if output is None:
        click.echo(proof, nl=False)
        return
    target = output
    try:
        if into_folder or output.is_dir():
            output.mkdir(parents=True, exist_ok=True)
            target = output / name
        target.write_bytes(proof)
    except OSError as error:
        raise click.ClickException(f"{target} cannot be written: {error.strerror}") from error
    click.echo(f"{target}: written", err=True)
