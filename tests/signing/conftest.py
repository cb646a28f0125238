"""A keys folder and its operator, with a clock of the test's own."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.audit.recorded import find_events
from gateway.db import Database
from gateway.migrate import migrate
from gateway.signing.commands import KeysContext, key_commands
from gateway.signing.key_files import IN_THE_CLEAR, Keeping
from gateway.signing.rotation import load_keys, make_missing_keys
from gateway.signing.schedule import KeySchedule
from gateway.signing.signing_keys import Purpose, SigningKeys
from gateway.signing.states import state_of
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog


@dataclass(slots=True, kw_only=True)
class House:
    """One keys folder, and whoever works on it."""

    keys_dir: Path
    log: TestLog
    clock: FrozenClock
    keeping: Keeping = IN_THE_CLEAR

    def load(self) -> SigningKeys:
        """A process that begins now."""
        return SigningKeys.load(self.keys_dir, self.keeping, clock=self.clock)

    def run(self, *arguments: str) -> Result:
        """A `gateway keys` command."""
        context = KeysContext(
            keys_dir=self.keys_dir,
            database=self.log.database,
            audit=self.log.audit,
            clock=self.clock,
            keeping=self.keeping,
        )
        commands = {command.name: command for command in key_commands(lambda: context)}
        return CliRunner().invoke(commands[arguments[0]], arguments[1:])

    def schedule(self, *, days: float = 90) -> KeySchedule:
        """What a `gateway work` process does for the keys."""
        return KeySchedule(
            keys_dir=self.keys_dir,
            keeping=self.keeping,
            database=self.log.database,
            audit=self.log.audit,
            clock=self.clock,
            rotation_days=days,
        )

    def states(self, algorithm: str = "ES256", purpose: Purpose = Purpose.TOKENS) -> list[tuple[str, str]]:
        """Number and state of every key of an algorithm that counts."""
        keys = load_keys(self.keys_dir, purpose, self.keeping)
        now = self.clock.now()
        return [(key.number, str(state_of(key, keys, purpose, now=now))) for key in keys if key.algorithm == algorithm]

    def events(self) -> list[tuple[str, str, str]]:
        """Every change that the log holds, oldest first: what, of which purpose, which number."""
        with self.log.database.read() as session:
            found = [
                (event.name.removeprefix("signing.key."), self.log.audit.details_of(session, event.event_id))
                for event in reversed(find_events(session))
            ]
        return [(name, details["key_use"], details["key_number"]) for name, details in found]


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded database to copy: what becomes of files is the same whichever database the run is for."""
    file = tmp_path_factory.mktemp("signing") / "gateway.sqlite3"
    migrate(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def house(_migrated: Path, tmp_path: Path, clock: FrozenClock) -> Iterator[House]:
    """A gateway's keys just made."""
    shutil.copyfile(_migrated, tmp_path / "gateway.sqlite3")
    database = Database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}")
    yield _house(database, tmp_path, clock)
    database.close()


@pytest.fixture
def recording_house(database: Database, tmp_path: Path, clock: FrozenClock) -> House:
    """The same on the database the run is for."""
    return _house(database, tmp_path, clock)


def _house(database: Database, folder: Path, clock: FrozenClock) -> House:
    make_missing_keys(folder / "keys", now=clock.now())
    signer: Any = SigningKeys.load(folder / "keys").current(Purpose.LOG)
    log = TestLog(database=database, directory=folder, signer=signer, clock=clock)
    return House(keys_dir=folder / "keys", log=log, clock=clock)
