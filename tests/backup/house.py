"""A gateway in one folder, without processes: the demonstration's members, agreement and accounts."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
from click.testing import CliRunner, Result

from gateway.app import Gateway, assemble
from gateway.audit.append import Event
from gateway.backup.commands import backup_command, restore_command
from gateway.cli import initialise
from gateway.db import Database
from gateway.demo.layout import Layout
from gateway.demo.world import WorldTools, build_world
from gateway.settings import POLICIES_DIR, Settings
from tests.kit.log import an_event
from tests.kit.oidc_world import LEAST_COST
from tests.kit.outsider import Outsider


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """One gateway and everything beside its database."""

    layout: Layout
    gateway: Gateway
    _opened: list[Gateway] = field(default_factory=list)

    @classmethod
    def furnished(cls, state_dir: Path, database_url: str) -> "House":
        """A new gateway with its world."""
        layout = Layout(state_dir=state_dir, policies_dir=POLICIES_DIR, database_url=database_url)
        initialise(layout.settings())
        gateway = assemble(layout.settings(), passwords=LEAST_COST)
        tools = WorldTools(
            database=gateway.database,
            audit=gateway.audit,
            people=gateway.people,
            policy=gateway.policy,
            clock=gateway.clock,
        )
        build_world(tools, layout)
        return cls(layout=layout, gateway=gateway, _opened=[gateway])

    def with_database(self, database_url: str) -> "House":
        """The same folder over another database, as after a restore."""
        settings = replace(self.settings, database_url=database_url)
        gateway = assemble(settings, passwords=LEAST_COST)
        self._opened.append(gateway)
        return House(layout=replace(self.layout, database_url=database_url), gateway=gateway, _opened=self._opened)

    def close(self) -> None:
        """Close every connection of this house, over whichever database."""
        for gateway in self._opened:
            gateway.database.engine.dispose()

    @property
    def settings(self) -> Settings:
        return self.gateway.settings

    @property
    def database(self) -> Database:
        return self.gateway.database

    @property
    def log_dir(self) -> Path:
        return self.settings.log_dir

    @property
    def vkey(self) -> str:
        return self.gateway.log_key.encode()

    def outsider(self) -> Outsider:
        """Somebody who has never seen this log."""
        return Outsider(location=self.log_dir, vkey=self.vkey)

    def record(self, count: int = 1, **changes: object) -> list[str]:
        """Record events in one transaction; their ids."""
        event: Event = an_event(**changes)  # type: ignore[arg-type]
        now = self.gateway.clock.now()
        with self.database.write() as session:
            return [str(self.gateway.audit.append(session, event, at=now).event_id) for _ in range(count)]

    def publish(self) -> None:
        """Sequence until nothing is left."""
        sequencer = self.gateway.sequencer()
        while sequencer.run_once():
            pass

    def backup(self, folder: Path) -> Result:
        """`gateway backup FOLDER`."""
        return _run(backup_command(lambda: self.gateway), [str(folder)])

    def restore(self, *arguments: str | Path) -> Result:
        """`gateway restore …`, of whatever this house's settings name."""
        command = restore_command(lambda: self.settings, lambda: self.gateway)
        return _run(command, [*map(str, arguments), "--yes"])


def files_under(folder: Path) -> Mapping[str, bytes]:
    """Every file and its content, by path below the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flip_a_bit(path: Path, *, at: int | None = None) -> None:
    """Change one bit of a file: somewhere, or at this byte."""
    content = bytearray(path.read_bytes())
    content[secrets.randbelow(len(content)) if at is None else at] ^= 1
    path.write_bytes(bytes(content))


def _run(command: click.Command, arguments: Sequence[str]) -> Result:
    group = click.Group("gateway", commands=[command])
    return CliRunner().invoke(group, [command.name or "", *arguments], catch_exceptions=True)
