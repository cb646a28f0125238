"""`gateway services …`: what providers answer, and where they are asked."""

from collections.abc import Callable
from dataclasses import dataclass

import click

from gateway.audit.append import AuditLog, Event
from gateway.clock import Clock
from gateway.db import Database
from gateway.listings import AS_JSON, print_listing
from gateway.sharing.catalogue.services import find_service, list_services, set_endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesContext:
    """What the commands work with."""

    database: Database
    audit: AuditLog
    clock: Clock


def services_group(open_context: Callable[[], ServicesContext]) -> click.Group:
    """Return the command group; `open_context` is called by the command that runs, not before."""

    @click.group("services")
    def group() -> None:
        """Services of providers: what can be asked, and where.

        A service is described as YAML in policies/services and recorded by `gateway agreements import`. Where it is
        answered is a matter of this deployment:

        \b
          gateway services endpoint dwp/free-school-meals/v1 https://api.dwp.example/gateway --by "A Sample"
          gateway services list
        """  # noqa: D301 - click wants the very character \b before lines it must not wrap

    group.add_command(_list_command(open_context))
    group.add_command(_endpoint_command(open_context))
    return group


def _list_command(open_context: Callable[[], ServicesContext]) -> click.Command:
    @click.command("list")
    @AS_JSON
    def list_all(*, as_json: bool) -> None:
        """List every recorded service, and where it is answered."""
        with open_context().database.read() as session:
            services = list_services(session)
        columns = ("service", "client", "kind", "active", "endpoint")
        rows = [
            {
                "service": service.id,
                "client": service.provider_client,
                "kind": service.kind,
                "active": service.active,
                "endpoint": service.endpoint,
            }
            for service in services
        ]
        print_listing(columns, rows, as_json=as_json)

    return list_all


def _endpoint_command(open_context: Callable[[], ServicesContext]) -> click.Command:
    @click.command("endpoint")
    @click.argument("service_id", metavar="SERVICE")
    @click.argument("address")
    @click.option("--by", required=True, help="Who changes it, for the log.")
    def endpoint(service_id: str, address: str, by: str) -> None:
        """Record that SERVICE is answered at ADDRESS, an https URL, from the next question on.

        Whoever answers there must hold a key of the provider's client: an answer without its signature is believed by
        nobody. Addresses on this machine or in private networks are called only where the settings name them.
        """
        context = open_context()
        with context.database.write() as session:
            before = find_service(session, service_id)
            set_endpoint(session, service_id, address)
            service = find_service(session, service_id)
            assert service is not None  # noqa: S101 - it was found a moment ago, in this transaction
            details = {
                "service": service.id,
                "provider": service.provider,
                "endpoint": address,
                "before": before.endpoint if before else None,
                "by": by,
            }
            event = Event(
                name="sharing.service.endpoint_changed", outcome="done", members=(service.provider,), details=details
            )
            context.audit.append(session, event, at=context.clock.now())
        click.echo(f"{service_id} is answered at {address}")

    return endpoint
