"""`gateway audit …`: the rooms' corners bring their commands together."""

import click

from gateway.audit.checking.commands import checking_commands
from gateway.audit.context import AuditContext, OpenGateway
from gateway.audit.event_document import events_document
from gateway.audit.keeping.commands import keeping_commands
from gateway.audit.witness.commands import witness_group

__all__ = ["AuditContext", "audit_group"]


def audit_group(open_gateway: OpenGateway) -> click.Group:
    """Return the command group; `open_gateway` is called only by the commands that need the gateway's own state."""

    @click.group("audit")
    def group() -> None:
        """The log: check it, prove what is in it, watch it, witness others'."""

    for command in (*checking_commands(open_gateway), *keeping_commands(open_gateway)):
        group.add_command(command)
    group.add_command(_key_command(open_gateway))
    group.add_command(_events_command())
    group.add_command(witness_group)
    return group


def _key_command(open_gateway: OpenGateway) -> click.Command:
    @click.command("key")
    def key() -> None:
        """Print the log's verifier key (C2SP signed-note): what outsiders need to check its checkpoints.

        While a key is rotated there are several, the newest last; every checkpoint is signed by each of them.
        """
        for each in open_gateway().log_keys.signing:
            click.echo(each.encode())

    return key


def _events_command() -> click.Command:
    @click.command("events")
    def events() -> None:
        """Print every event the gateway can record, as docs/audit-events.md."""
        click.echo(events_document(), nl=False)

    return events
