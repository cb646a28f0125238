"""`gateway audit …`: verify the log, prove one exchange, show the log's key and the registry of events."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.orm import Session

from gateway.audit.append import AuditLog
from gateway.audit.checking.prove import prove_when_published
from gateway.audit.checking.sources import FileSource, source_of
from gateway.audit.checking.verify import VerifiedLog, rows_check, verify_log
from gateway.audit.errors import EventNotFound
from gateway.audit.event_document import events_document
from gateway.audit.witness.commands import witness_group
from gateway.clock import Clock
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.wire.encoding import b64_encode
from gateway.wire.notes import VerifierKey, verifier_key_of
from gateway.wire.proofs import parse_public_keys
from gateway.wire.signer import Signer

ReceiptOf = Callable[[Session, str], str | None]
"""Returns the receipt (compact JWS) of an exchange by its id, or None when there is no such exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContext:
    """What the commands work with; `audit_log`, where given, lets `verify` open the details it still has keys for."""

    database: Database
    log_dir: Path
    origin: str
    signer: Signer
    clock: Clock
    receipt_of: ReceiptOf
    audit_log: AuditLog | None = None
    merge_delay: float = 10.0
    """Seconds within which every committed event is under a published checkpoint."""

    @property
    def verifier_key(self) -> VerifierKey:
        """The public key of the log's checkpoints."""
        return verifier_key_of(self.signer, self.origin)


def audit_group(open_gateway: Callable[[], AuditContext]) -> click.Group:
    """Return the command group; `open_gateway` is called only by the commands that need the gateway's own state."""

    @click.group("audit")
    def group() -> None:
        """The log: verify it, prove one exchange, show its key."""

    group.add_command(_verify_command(open_gateway))
    group.add_command(_prove_command(open_gateway))
    group.add_command(_key_command(open_gateway))
    group.add_command(_events_command())
    group.add_command(witness_group)
    return group


def _verify_command(open_gateway: Callable[[], AuditContext]) -> click.Command:
    @click.command("verify")
    @click.option("--from", "location", metavar="DIR|URL", help="Check this copy of the log, as an outsider would.")
    @click.option(
        "--key",
        metavar="VKEY|FILE",
        help="The log's verifier key, or a public keys file from `gateway keys export`; the gateway's own by default.",
    )
    def verify(location: str | None, key: str | None) -> None:
        """Verify the whole log: signature, every entry, every tile, the root.

        Without --from, the gateway's own files are checked, and the database's rows and details against them. Exit
        status 0 when everything holds; 1 names the first place that does not.

        \b
          gateway audit verify
          gateway audit verify --from https://gateway.example/log --key public-keys.json
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap
        console = Console(stderr=True)
        try:
            verified = _verified(location, key, open_gateway, console)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        click.echo(f"{verified.origin}: all {verified.size} entries verify")
        click.echo(f"root {b64_encode(verified.root)}")

    return verify


def _prove_command(open_gateway: Callable[[], AuditContext]) -> click.Command:
    @click.command("prove")
    @click.argument("exchange")
    @click.option(
        "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to standard output."
    )
    def prove(exchange: str, output: Path | None) -> None:
        """Write the proof of EXCHANGE: one file that holds its receipt, its log entry and the entry's inclusion.

        Anybody can check it offline with the gateway's public keys:

        \b
          gateway audit prove 0190c0de-… -o proof.json
          python -m gateway.sdk verify proof.json --keys public-keys.json
        """  # noqa: D301 - as above
        try:
            proof = _proof_of(open_gateway(), exchange)
        except GatewayError as error:
            raise click.ClickException(error.public) from error
        if output is None:
            click.echo(proof, nl=False)
            return
        output.write_bytes(proof)
        click.echo(f"{output}: the proof of exchange {exchange}", err=True)

    return prove


def _key_command(open_gateway: Callable[[], AuditContext]) -> click.Command:
    @click.command("key")
    def key() -> None:
        """Print the log's verifier key (C2SP signed-note): what outsiders need to check its checkpoints."""
        click.echo(open_gateway().verifier_key.encode())

    return key


def _events_command() -> click.Command:
    @click.command("events")
    def events() -> None:
        """Print every event the gateway can record, as docs/audit-events.md."""
        click.echo(events_document(), nl=False)

    return events


def _verified(
    location: str | None, key: str | None, open_gateway: Callable[[], AuditContext], console: Console
) -> VerifiedLog:
    columns = (TextColumn("Verifying entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("entries", total=None)

        def progress(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        if location is not None:
            vkey = _vkey(key) if key is not None else open_gateway().verifier_key.encode()
            return verify_log(source_of(location), vkey=vkey, progress=progress)
        context = open_gateway()
        return verify_log(
            FileSource(context.log_dir),
            vkey=_vkey(key) if key is not None else context.verifier_key.encode(),
            progress=progress,
            check_entries=rows_check(context.database, audit_log=context.audit_log),
        )


def _vkey(key: str) -> str:
    path = Path(key)
    if "+" in key and not path.exists():
        return key
    try:
        text = path.read_bytes()
    except OSError as error:
        raise click.BadParameter("is neither a verifier key nor a file that can be read", param_hint="--key") from error
    return parse_public_keys(text).log_vkey if text.lstrip().startswith(b"{") else text.decode("utf-8", "replace")


def _proof_of(context: AuditContext, exchange: str) -> bytes:
    with context.database.read() as session:
        receipt = context.receipt_of(session, exchange)
    if receipt is None:
        raise EventNotFound(f"there is no exchange {exchange}, or it has no outcome yet")
    return prove_when_published(
        context.database,
        log_dir=context.log_dir,
        verifier_key=context.verifier_key,
        reference=exchange,
        receipt=receipt,
        wait_seconds=context.merge_delay,
    )
