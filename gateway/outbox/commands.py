"""`gateway outbox …`: what waits to be delivered, what was given up, and what an operator does about it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import click

from gateway.audit.append import AuditLog
from gateway.clock import Clock, rfc3339
from gateway.db import Database
from gateway.errors import GatewayError
from gateway.listings import AS_JSON, SHOWN_AS_JSON, print_listing
from gateway.outbox.courier import delivery_event
from gateway.outbox.deliveries import (
    Delivery,
    State,
    count_by_state,
    discard,
    find_delivery,
    list_deliveries,
    revive,
)
from gateway.outbox.errors import DeliverySettled, DeliveryUnknown

BY = click.option("--by", required=True, help="Who decided this, for the log.")
REASON = click.option("--reason", required=True, help="Why, for the log.")
DELIVERY = click.argument("delivery", type=click.UUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxContext:
    """What these commands work on."""

    database: Database
    audit: AuditLog
    clock: Clock


def outbox_group(open_context: Callable[[], OutboxContext]) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""
    group = click.Group("outbox", help="What is to be delivered to other systems: sign-out notices and the like.")
    for command in (_list(open_context), _show(open_context), _retry(open_context), _discard(open_context)):
        group.add_command(command)
    return group


def _list(open_context: Callable[[], OutboxContext]) -> click.Command:
    @click.command("list")
    @click.option("--state", type=click.Choice([state.value for state in State]), help="Only those in this state.")
    @click.option("--recipient", help="Only those for this client.")
    @click.option(
        "--limit", type=click.IntRange(min=1, max=10_000), default=100, show_default=True, help="How many at most."
    )
    @AS_JSON
    def list_all(state: str | None, recipient: str | None, limit: int, *, as_json: bool) -> None:
        """List deliveries, newest first, and how many there are in each state."""
        with open_context().database.read() as session:
            counts = count_by_state(session)
            found = list_deliveries(session, state=State(state) if state else None, recipient=recipient, limit=limit)
        columns = ("delivery", "kind", "recipient", "state", "attempts", "due_at", "reason")
        print_listing(columns, [_shown(delivery) for delivery in found], as_json=as_json)
        if not as_json:
            click.echo(", ".join(f"{count} {state}" for state, count in counts.items()))

    return list_all


def _show(open_context: Callable[[], OutboxContext]) -> click.Command:
    @click.command("show")
    @DELIVERY
    @SHOWN_AS_JSON
    def show(delivery: UUID) -> None:
        """Show one DELIVERY as JSON."""
        with _told(), open_context().database.read() as session:
            found = find_delivery(session, delivery)
            if found is None:
                raise DeliveryUnknown
        click.echo(json.dumps(_shown(found), indent=2))

    return show


def _retry(open_context: Callable[[], OutboxContext]) -> click.Command:
    @click.command("retry")
    @DELIVERY
    @BY
    @REASON
    def retry(delivery: UUID, by: str, reason: str) -> None:
        """Have a dead or waiting DELIVERY tried at once, with as many attempts again."""
        _change(open_context(), delivery, "outbox.delivery.retried", by=by, reason=reason)
        click.echo(f"{delivery}: will be tried at once")

    return retry


def _discard(open_context: Callable[[], OutboxContext]) -> click.Command:
    @click.command("discard")
    @DELIVERY
    @BY
    @REASON
    def give_up(delivery: UUID, by: str, reason: str) -> None:
        """Give up a dead or waiting DELIVERY: it is not tried again."""
        _change(open_context(), delivery, "outbox.delivery.discarded", by=by, reason=reason)
        click.echo(f"{delivery}: discarded")

    return give_up


def _change(context: OutboxContext, delivery_id: UUID, event: str, *, by: str, reason: str) -> None:
    now = context.clock.now()
    with _told(), context.database.write() as session:
        found = find_delivery(session, delivery_id)
        if found is None:
            raise DeliveryUnknown
        if event == "outbox.delivery.retried":
            changed = revive(session, delivery_id, now=now)
        else:
            changed = discard(session, delivery_id, reason="discarded by an operator", now=now)
        if not changed:
            raise DeliverySettled
        context.audit.append(session, delivery_event(event, found, by=by, reason=reason), at=now)


def _shown(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery": str(delivery.delivery_id),
        "kind": delivery.kind,
        "recipient": delivery.recipient,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "attempts_allowed": delivery.attempts_allowed,
        "created_at": rfc3339(delivery.created_at),
        "due_at": rfc3339(delivery.due_at) if delivery.state is State.WAITING else None,
        "settled_at": rfc3339(delivery.settled_at) if delivery.settled_at else None,
        "reason": delivery.reason,
        "payload": dict(delivery.payload),
    }


class _told:  # noqa: N801 - used as a block: `with _told():`
    """Turns an error of ours into one line and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, GatewayError):
            raise click.ClickException(error.public) from error
