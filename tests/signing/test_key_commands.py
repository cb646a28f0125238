"""Keys are changed by command while the log goes on and outsiders, with whichever key they know, keep verifying."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.audit.errors import LogForked
from gateway.audit.log_keys import LogKeys
from gateway.audit.recorded import find_events
from gateway.audit.sequencer import Sequencer
from gateway.db import Database
from gateway.signing.commands import KeysContext, key_commands
from gateway.signing.private_files import write_private_file
from gateway.signing.signing_keys import Purpose, SigningKeys, make_missing_keys
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import ORIGIN, TestLog, assert_log_verifies


class Operated:
    """A gateway's keys and its log, as an operator has them: every look is a new start."""

    def __init__(self, database: Database, folder: Path, clock: FrozenClock) -> None:
        self.keys_dir = folder / "keys"
        make_missing_keys(self.keys_dir)
        signer = SigningKeys.load(self.keys_dir).current(Purpose.LOG)
        self.log = TestLog(database=database, directory=folder, signer=signer, clock=clock)  # type: ignore[arg-type]

    def run(self, *arguments: str) -> Result:
        context = KeysContext(
            keys_dir=self.keys_dir, database=self.log.database, audit=self.log.audit, clock=self.log.clock
        )
        commands = {command.name: command for command in key_commands(lambda: context)}
        return CliRunner().invoke(commands[arguments[0]], arguments[1:])

    @property
    def keys(self) -> LogKeys:
        return SigningKeys.load(self.keys_dir).log_keys(ORIGIN)

    def sequencer(self) -> Sequencer:
        return Sequencer(self.log.database, log_dir=self.log.files, keys=self.keys, clock=self.log.clock)

    def publish(self) -> None:
        sequencer = self.sequencer()
        while sequencer.run_once():
            pass

    def verifies_with(self, vkey: str) -> bool:
        try:
            assert_log_verifies(self.log.files, vkey)
        except Exception:  # noqa: BLE001 - theirs or ours, whichever refuses first
            return False
        return True


@pytest.fixture
def operated(database: Database, tmp_path: Path, clock: FrozenClock) -> Operated:
    return Operated(database, tmp_path, clock)


def test_the_logs_key_is_rotated_without_a_gap_for_anybody(operated: Operated) -> None:
    old = operated.keys.newest.encode()
    operated.log.record(3)
    operated.publish()
    before_rotation = operated.sequencer()

    assert operated.run("rotate", "log").exit_code == 0
    new = operated.keys.newest.encode()
    assert new != old
    # A process that has not been started again goes on as before.
    operated.log.record(1)
    before_rotation.run_once()
    assert operated.verifies_with(old)

    # Started again: both sign, also what is there already.
    operated.publish()
    assert operated.verifies_with(old)
    assert operated.verifies_with(new)
    size = (operated.log.files / "checkpoint").read_text().split("\n")[1]
    operated.log.record(300)
    operated.publish()
    assert operated.verifies_with(old)
    assert operated.verifies_with(new)
    assert int(size) < int((operated.log.files / "checkpoint").read_text().split("\n")[1])

    retired = operated.run("retire", "log", "0001")
    assert retired.exit_code == 0, retired.output
    assert not (operated.keys_dir / "log" / "0001.pem").exists()
    operated.publish()
    assert operated.verifies_with(new)
    assert not operated.verifies_with(old)
    operated.log.record(2)
    operated.publish()
    assert operated.verifies_with(new)


def test_a_checkpoint_by_a_retired_key_alone_is_still_our_own(operated: Operated) -> None:
    operated.log.record(3)
    operated.publish()
    old_checkpoint = (operated.log.files / "checkpoint").read_bytes()
    operated.run("rotate", "log")
    operated.run("retire", "log", "0001")
    operated.publish()
    (operated.log.files / "checkpoint").write_bytes(old_checkpoint)
    operated.log.record(3)
    operated.publish()
    assert operated.verifies_with(operated.keys.newest.encode())


def test_with_the_old_key_gone_altogether_the_log_is_not_continued(operated: Operated) -> None:
    operated.log.record(3)
    operated.publish()
    operated.run("rotate", "log")
    (operated.keys_dir / "log" / "0001.pem").unlink()
    operated.log.record(1)
    with pytest.raises(LogForked, match="not signed by this log's key"):
        operated.sequencer().run_once()


@pytest.mark.parametrize(
    ("number", "said"), [("0001", "only key"), ("0002", "no key 0002"), ("1", "no key 1"), ("../log/0001", "no key")]
)
def test_what_cannot_be_retired_is_refused_and_nothing_changes(operated: Operated, number: str, said: str) -> None:
    before = sorted(operated.keys_dir.rglob("*"))
    refused = operated.run("retire", "log", number)
    assert refused.exit_code != 0
    assert said in str(refused.exception)
    assert sorted(operated.keys_dir.rglob("*")) == before
    with operated.log.database.read() as session:
        assert find_events(session) == ()


def test_a_key_is_not_lost_to_an_older_one_of_its_number(operated: Operated) -> None:
    """Somebody put a key made by hand where a retired one had been."""
    operated.run("rotate", "log")
    operated.run("retire", "log", "0001")
    own = PrivateKeySigner.generate("Ed25519").private_pem()
    write_private_file(operated.keys_dir / "log" / "0001.pem", own)
    before = {path: path.read_bytes() for path in operated.keys_dir.rglob("*.pem")}
    refused = operated.run("retire", "log", "0001")
    assert refused.exit_code != 0
    assert "was retired before" in str(refused.exception)
    assert {path: path.read_bytes() for path in operated.keys_dir.rglob("*.pem")} == before


def test_only_the_logs_keys_are_retired_for_receipts_need_the_others(operated: Operated) -> None:
    operated.run("rotate", "exchange")
    refused = operated.run("retire", "exchange", "0001")
    assert refused.exit_code == 2
    assert (operated.keys_dir / "exchange" / "0001.pem").exists()


def test_each_change_is_in_the_log_with_its_key(operated: Operated) -> None:
    operated.run("rotate", "log")
    operated.run("rotate", "tokens", "--algorithm", "ES256")
    operated.run("retire", "log", "0001")
    with operated.log.database.read() as session:
        recorded = [
            (event.name, operated.log.audit.details_of(session, event.event_id))
            for event in reversed(find_events(session))
        ]
    assert [(name, details["key_use"], details["key_number"]) for name, details in recorded] == [
        ("signing.key.added", "log", "0002"),
        ("signing.key.added", "tokens", "0004"),
        ("signing.key.retired", "log", "0001"),
    ]
    assert recorded[0][1]["key_id"] == SigningKeys.load(operated.keys_dir).current(Purpose.LOG).key_id


def test_a_number_is_never_used_twice(operated: Operated) -> None:
    operated.run("rotate", "log")
    operated.run("retire", "log", "0002")
    operated.run("rotate", "log")
    assert [path.name for path in sorted((operated.keys_dir / "log").glob("*.pem"))] == ["0001.pem", "0003.pem"]
    heading, *listed = operated.run("list").output.splitlines()
    assert heading.split()[:3] == ["purpose", "number", "state"]
    assert [" ".join(line.split()[:3]) for line in listed] == [
        "tokens 0001 signs",
        "tokens 0002 signs",
        "tokens 0003 signs",
        "exchange 0001 signs",
        "log 0001 signs",
        "log 0003 signs",
        "log 0002 retired",
    ]


def test_new_keys_are_nobody_elses_on_this_machine(operated: Operated) -> None:
    operated.run("rotate", "log")
    operated.run("retire", "log", "0001")
    files = [path for path in operated.keys_dir.rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    folders = [path for path in operated.keys_dir.rglob("*") if path.is_dir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folders)
