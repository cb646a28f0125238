"""What the `gateway clients` commands share: what they work on, how they read files and tell a failure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import click

from gateway.audit.append import AuditLog
from gateway.clock import Clock
from gateway.db import Database
from gateway.directory.members import Client
from gateway.errors import GatewayError
from gateway.oidc.authorization.checks import SCOPES
from gateway.oidc.clients.metadata_rules import SECRET_METHODS, ClientRule
from gateway.oidc.clients.registrar import Registrar
from gateway.oidc.clients.submission import Surroundings
from gateway.oidc.clients.trial import Trial
from gateway.oidc.endpoints import Endpoints
from gateway.oidc.provider import OpenIDProvider
from gateway.outgoing.http_client import HttpClient
from gateway.wire.encoding import parse_json_object

BY = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientsContext:
    """What these commands work on."""

    provider: OpenIDProvider
    http: HttpClient

    @property
    def database(self) -> Database:
        """Where registrations are."""
        return self.provider.database

    @property
    def audit(self) -> AuditLog:
        """Where their events go."""
        return self.provider.audit

    @property
    def clock(self) -> Clock:
        """What time it is."""
        return self.provider.clock

    @property
    def endpoints(self) -> Endpoints:
        """Where this gateway is."""
        return self.provider.endpoints

    @property
    def registrar(self) -> Registrar:
        """What writes registrations."""
        return self.provider.registrations.registrar

    @property
    def surroundings(self) -> Surroundings:
        """What the rules of metadata ask of this deployment."""
        return self.provider.registrations.surroundings

    @property
    def client_rules(self) -> tuple[ClientRule, ...]:
        """The rules for whole clients."""
        return self.provider.registrations.client_rules

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that means something here."""
        return tuple(SCOPES)

    def trial(self) -> Trial:
        """Return what tries registrations."""
        return Trial(
            surroundings=self.surroundings,
            client_rules=self.client_rules,
            http=self.http,
            endpoints=self.endpoints,
            authentication=self.provider.client_authentication,
        )

    def has_secret(self, client: Client) -> bool:
        """Tell whether this client was given the exception of a secret."""
        return client.oauth.token_endpoint_auth_method in SECRET_METHODS

    def with_state(self, client: Client, *, active: bool) -> Client:
        """Return a client that is as active as it was."""
        return replace(client, active=active)


OpenContext: TypeAlias = Callable[[], ClientsContext]


class told:  # noqa: N801 - used as a block: `with told():`
    """Turns an error of ours into one line and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, GatewayError):
            raise click.ClickException(error.public) from error


def file_of_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    try:
        return parse_json_object(path.read_bytes())
    except GatewayError as error:
        raise click.ClickException(f"{path} does not hold one JSON object, with no member repeated") from error
