"""The `gateway` command: what operators do, assembled from the rooms' own commands."""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import click
from sqlalchemy.exc import OperationalError

from gateway.app import Gateway, assemble, check_files_and_classes
from gateway.audit.commands import AuditContext, audit_group
from gateway.backup.commands import backup_command, restore_command
from gateway.clock import SystemClock
from gateway.demo.commands import Prepared, demo_command
from gateway.demo.world import WorldTools
from gateway.directory.commands import MembersContext, members_group
from gateway.errors import GatewayError, SettingsError
from gateway.identity.commands import AccountsContext, accounts_group
from gateway.identity.session_commands import sessions_group
from gateway.migrate import migrate
from gateway.oidc.client_sessions import services_of_sessions
from gateway.oidc.clients.command_context import ClientsContext
from gateway.oidc.clients.commands import clients_group
from gateway.outbox.commands import OutboxContext, outbox_group
from gateway.policy.commands import policy_group
from gateway.policy.past import PolicyContext
from gateway.purge_command import purge_command
from gateway.serve import serve
from gateway.settings import Settings, chosen_policies_dir, load_settings
from gateway.sharing.agreements.commands import AgreementsContext, agreements_group
from gateway.sharing.agreements.policy_bases import load_policy_bases, load_proposed_agreement
from gateway.sharing.catalogue.commands import ServicesContext, services_group
from gateway.sharing.evidence.commands import evidence_group
from gateway.sharing.exchange.past_decisions import ExchangeDecisions
from gateway.sharing.exchange.people.commands import PeopleContext, objections_group, restrictions_group
from gateway.sharing.exchange.people.subjects import Translator
from gateway.signing.commands import KeysContext, key_commands
from gateway.signing.keeping import open_keeping, warn_of_unprotected_keys
from gateway.signing.purposes import Purpose
from gateway.signing.rotation import make_missing_keys
from gateway.signing.storage_commands import storage_commands
from gateway.web.logs import configure_logs
from gateway.wire.proofs import PublicKeys, encode_public_keys
from gateway.work import run_until_signalled


class _Commands(click.Group):
    """A group that tells a known failure in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PermissionError as error:
            told = f"{error.filename}: permission denied. Run this as the user who runs the gateway."
            click.echo(f"gateway: {told}", err=True)
            ctx.exit(1)
        except (GatewayError, OperationalError, click.ClickException) as error:
            reason = _database_fault(error)
            if reason is None and not isinstance(error, GatewayError):
                raise
            click.echo(f"gateway: {error if reason is None else f'the database does not answer: {reason}'}", err=True)
            ctx.exit(1)


def _database_fault(error: BaseException | None) -> str | None:
    # What the driver says of a lost database names host and port; members get to hear less.
    while error is not None and not isinstance(error, OperationalError):
        error = error.__cause__
    return None if error is None else str(error.orig).partition("\n")[0]


@cache
def _settings() -> Settings:
    settings = load_settings()
    check_files_and_classes(settings)
    configure_logs(settings.log_level)
    return settings


@cache
def _gateway() -> Gateway:
    return assemble(_settings())


@cache
def _patient_gateway() -> Gateway:
    # For commands that change a whole database at once, while nobody waits for it.
    return assemble(replace(_settings(), database_timeout=3600.0))


def initialise(settings: Settings) -> tuple[Purpose, ...]:
    """Make what a gateway needs before it can start; returns the purposes for which a key was made."""
    # Keys, people's addresses and the hashes of their passwords are nobody else's on this machine.
    for folder in (settings.state_dir, settings.keys_dir):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"{folder} cannot be made.", detail=str(error.strerror)) from error
    made = make_missing_keys(settings.keys_dir, open_keeping(settings), now=SystemClock().now())
    migrate(settings.database_url)
    return made


def public_keys(gateway: Gateway) -> bytes:
    """Return the file of public keys with which outsiders verify receipts and the log."""
    return encode_public_keys(
        PublicKeys(
            issuer=gateway.settings.issuer,
            log_vkey=gateway.log_key.encode(),
            keys=gateway.signing.dated_jwks(Purpose.EXCHANGE),
            older_log_vkeys=tuple(key.encode() for key in gateway.log_keys.known if key != gateway.log_key),
        )
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gateway")
def main() -> None:
    """The cross-government identity and data-sharing gateway.

    Settings are read from the environment (GATEWAY_…); `gateway settings` shows them. To see everything at work, run
    `gateway demo`.
    """


@main.command()
def init() -> None:
    """Make what is missing: keys, folders, and the database's tables. Safe to repeat."""
    made = initialise(_settings())
    click.echo(f"keys: {', '.join(made) + ' made' if made else 'already there'}")
    click.echo("database: at the newest revision")


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database to the newest revision."""
    migrate(_settings().database_url)
    click.echo("database: at the newest revision")


@main.command("serve")
@click.option("--without-work", is_flag=True, help="Run no `gateway work` here: it runs somewhere else.")
def serve_command(*, without_work: bool) -> None:
    """Run the web server and one `gateway work`, until stopped."""
    # What keeps a gateway from being put together is told once here, not by every process that then fails.
    assemble(_settings())
    if not _settings().demonstration:
        warn_of_unprotected_keys(_settings().keys_dir)
    sys.exit(serve(_settings(), with_work=not without_work))


@main.command()
def work() -> None:
    """Sequence the log, close abandoned exchanges, purge what has expired; until stopped."""
    run_until_signalled(_gateway())


@main.command("settings")
def settings_command() -> None:
    """Show every setting, secrets masked."""
    for name, value in _settings().masked().items():
        click.echo(f"{name}={value}")


@main.group()
def keys() -> None:
    """The gateway's own keys."""


@keys.command("export")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file; standard output if absent."
)
def keys_export(output: Path | None) -> None:
    """Write the public keys with which outsiders verify receipts and the log."""
    document = public_keys(_gateway())
    if output is None:
        click.echo(document.decode())
    else:
        output.write_bytes(document)
        click.echo(f"written: {output}")


def _keys_context() -> KeysContext:
    gateway = _gateway()
    return KeysContext(
        keys_dir=gateway.settings.keys_dir,
        database=gateway.database,
        audit=gateway.audit,
        clock=gateway.clock,
        keeping=gateway.keeping,
    )


for key_command in (*key_commands(_keys_context), *storage_commands(_settings)):
    keys.add_command(key_command)


def _clients_context() -> ClientsContext:
    gateway = _gateway()
    return ClientsContext(provider=gateway.provider, http=gateway.outgoing())


def _members_context() -> MembersContext:
    gateway = _gateway()
    return MembersContext(database=gateway.database, audit=gateway.audit, clock=gateway.clock)


def _accounts_context() -> AccountsContext:
    gateway = _gateway()
    return AccountsContext(
        database=gateway.database,
        people=gateway.people,
        audit=gateway.audit,
        clock=gateway.clock,
        issuer=gateway.settings.issuer,
    )


def _agreements_context() -> AgreementsContext:
    gateway = _gateway()
    return AgreementsContext(
        database=gateway.database,
        audit=gateway.audit,
        clock=gateway.clock,
        policies_dir=gateway.settings.policies_dir,
        signatures_dir=gateway.settings.state_dir / "signatures",
    )


def _services_context() -> ServicesContext:
    gateway = _gateway()
    return ServicesContext(database=gateway.database, audit=gateway.audit, clock=gateway.clock)


def _people_context() -> PeopleContext:
    gateway = _gateway()
    return PeopleContext(
        database=gateway.database,
        audit=gateway.audit,
        clock=gateway.clock,
        translator=Translator(pairwise=gateway.people.pairwise, references=gateway.people.references),
    )


def _policy_context() -> PolicyContext:
    gateway = _gateway()
    return PolicyContext(database=gateway.database, audit=gateway.audit, clock=gateway.clock, past=ExchangeDecisions())


def _outbox_context() -> OutboxContext:
    gateway = _gateway()
    return OutboxContext(database=gateway.database, audit=gateway.audit, clock=gateway.clock)


def _audit_context() -> AuditContext:
    return _gateway().audit_context()


def _prepare_demo(settings: Settings) -> Prepared:
    initialise(settings)
    gateway = assemble(settings)
    tools = WorldTools(
        database=gateway.database,
        audit=gateway.audit,
        people=gateway.people,
        policy=gateway.policy,
        clock=gateway.clock,
    )
    return Prepared(tools=tools, public_keys=public_keys(gateway), close=gateway.database.close)


main.add_command(accounts_group(_accounts_context))
main.add_command(sessions_group(_accounts_context, services_of_sessions))
main.add_command(agreements_group(_agreements_context))
main.add_command(audit_group(_audit_context))
main.add_command(backup_command(_gateway))
main.add_command(restore_command(_settings, _patient_gateway))
main.add_command(clients_group(_clients_context))
main.add_command(demo_command(_prepare_demo))
main.add_command(evidence_group(_audit_context))
main.add_command(members_group(_members_context))
main.add_command(objections_group(_people_context))
main.add_command(outbox_group(_outbox_context))
main.add_command(restrictions_group(_people_context))
main.add_command(services_group(_services_context))
main.add_command(purge_command(_gateway))
main.add_command(
    policy_group(
        chosen_policies_dir,
        load_policy_bases,
        load_agreement=load_proposed_agreement,
        open_gateway=_policy_context,
    )
)
