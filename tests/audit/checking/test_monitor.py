"""Somebody outside who keeps watch: what the log said once it must say for ever, and every receipt must be in it."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.audit.checking.monitor import Alarm, Monitor, Round, Watch
from gateway.audit.checking.monitor_command import monitor_command
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.trust import Trust, trust_in
from gateway.audit.errors import StateUnusable
from gateway.wire.encoding import b64_encode
from gateway.wire.leaves import parse_leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.notes import open_checkpoint, parse_verifier_key
from gateway.wire.proofs import PublicKeys, encode_public_keys
from gateway.wire.receipts import Receipt, issue_receipt
from gateway.wire.signer import PrivateKeySigner
from tests.kit.built_log import BuiltLog, an_entry, entries_up_to
from tests.kit.statements import ISSUER, a_receipt

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
GATEWAY = PrivateKeySigner.generate("ES256")


def receipt_for(entry: bytes, **changes: object) -> Receipt:
    leaf = parse_leaf(entry)
    said = {
        "exchange": leaf.reference,
        "issued_at": leaf.at,
        "outcome": leaf.outcome,
        "log_entry": b64_encode(leaf_hash(entry)),
    }
    return a_receipt(**{**said, **changes})


class World:
    """A log, and a monitor of it that may be started anew at any time."""

    def __init__(self, folder: Path) -> None:
        self.log = BuiltLog(directory=folder / "log")
        self.state = folder / "monitor.json"
        self.receipts = folder / "receipts"
        self.receipts.mkdir()

    def keep(self, name: str, receipt: Receipt, *, signer: PrivateKeySigner = GATEWAY) -> str:
        compact = issue_receipt(receipt, signer=signer)
        (self.receipts / name).write_text(compact)
        return compact

    def monitor(self, *, quiet: float | None = None) -> Monitor:
        trust = Trust(keys=trust_in([self.log.vkey]).keys, issuer=ISSUER, receipt_keys=(GATEWAY.public_jwk(),))
        source = FileSource(self.log.directory)
        return Monitor(Watch(source=source, trust=trust, state_file=self.state, receipts=self.receipts, quiet=quiet))

    def look(self, *, later: float = 0, quiet: float | None = None) -> Round:
        """One round of a monitor that was just started."""
        return self.monitor(quiet=quiet).look(now=NOW + timedelta(seconds=later))

    def replace_log(self, entries: list[bytes]) -> None:
        """Another history under the same key."""
        shutil.rmtree(self.log.directory)
        self.log.entries.clear()
        self.log.publish(entries)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def alarms(found: Round) -> list[Alarm]:
    return [finding.alarm for finding in found.findings]


def test_a_growing_log_is_followed_across_restarts(world: World) -> None:
    world.log.publish(entries_up_to(300))
    first = world.look()
    assert (first.findings, first.size, first.new) == ((), 300, 300)
    world.log.publish(entries_up_to(700)[300:])
    second = world.look()
    assert (second.findings, second.size, second.new) == ((), 700, 400)
    assert world.look().new == 0


def test_a_fork_is_an_alarm_with_evidence_and_is_never_accepted(world: World) -> None:
    world.log.publish(entries_up_to(300))
    world.look()
    other = entries_up_to(400)
    other[123] = an_entry(123, outcome="refused")
    world.replace_log(other)
    for _ in range(2):
        found = world.look()
        assert alarms(found) == [Alarm.FORKED]
        assert found.size == 300
    key = [parse_verifier_key(world.log.vkey)]
    remembered = json.loads(world.state.read_text())["checkpoint"]
    evidence = (world.state.parent / "monitor.json.conflict").read_bytes()
    assert open_checkpoint(remembered.encode(), key).size == 300, "both statements are in the log's own hand"
    assert open_checkpoint(evidence, key).size == 400


def test_a_rollback_is_an_alarm_that_names_both_sizes(world: World) -> None:
    world.log.publish(entries_up_to(300))
    world.look()
    world.replace_log(entries_up_to(200))
    [finding] = world.look().findings
    assert finding.alarm is Alarm.FORKED
    assert "300" in finding.text
    assert "200" in finding.text


@pytest.mark.parametrize(
    ("spoil", "alarm"),
    [
        (lambda log: log.flip("tile/entries/001.p/44", 30), Alarm.NOT_VERIFIED),
        (lambda log: log.flip("checkpoint", 30), Alarm.NOT_VERIFIED),
        (lambda log: (log.directory / "tile/0/001.p/44").unlink(), Alarm.NOT_VERIFIED),
        (lambda log: shutil.rmtree(log.directory), Alarm.UNREACHABLE),
    ],
    ids=["entry", "checkpoint", "missing tile", "everything gone"],
)
def test_what_does_not_hold_is_an_alarm_and_is_not_remembered(
    world: World, spoil: Callable[[BuiltLog], None], alarm: Alarm
) -> None:
    world.log.publish(entries_up_to(100))
    world.look()
    world.log.publish(entries_up_to(300)[100:])
    spoil(world.log)
    found = world.look()
    assert (alarms(found), found.size) == ([alarm], 100)


def test_receipts_are_found_in_the_log_whatever_file_they_are_in(world: World) -> None:
    entries = entries_up_to(300)
    world.log.publish(entries)
    compact = world.keep("a.jws", receipt_for(entries[5]))
    (world.receipts / "a.json").write_text(json.dumps({"exchange": "x", "record": None, "receipt": compact}))
    (world.receipts / ".hidden").write_text("not looked at")
    found = world.look(later=3600)
    assert (found.findings, found.receipts_found) == ((), 2)


def test_a_receipt_that_came_later_than_its_entry_is_found_among_the_old_ones(world: World) -> None:
    entries = entries_up_to(700)
    world.log.publish(entries)
    world.look()
    world.keep("late.jws", receipt_for(entries[100]))
    world.log.publish([an_entry(700)])
    found = world.look(later=3600)
    assert (found.findings, found.receipts_found) == ((), 1)


def test_a_receipt_whose_entry_is_not_there_is_missing_once_its_time_is_over(world: World) -> None:
    entries = entries_up_to(300)
    world.log.publish(entries[:100])
    world.keep("kept.jws", receipt_for(entries[200], issued_at="2026-11-23T09:59:30.000Z"))
    assert world.look().findings == (), "the log has a minute to take it in"
    [finding] = world.look(later=120).findings
    assert (finding.alarm, finding.about) == (Alarm.RECEIPT_MISSING, "kept.jws")
    assert world.look(later=180).findings != (), "it stays an alarm"
    world.log.publish(entries[100:])
    assert world.look(later=240).findings == ()


def test_a_receipt_dated_far_ahead_is_missing_at_once(world: World) -> None:
    """The log signs receipts too: dated in another century, none of them would ever be late."""
    entries = entries_up_to(300)
    world.log.publish(entries[:100])
    world.keep("ahead.jws", receipt_for(entries[200], issued_at="2126-11-23T10:00:00.000Z"))
    world.keep("clock.jws", receipt_for(entries[201], issued_at="2026-11-23T10:00:20.000Z"))
    [finding] = world.look().findings
    assert (finding.alarm, finding.about) == (Alarm.RECEIPT_MISSING, "ahead.jws")
    world.log.publish(entries[100:])
    assert world.look().findings == ()


def test_a_tile_that_was_withheld_once_makes_no_receipt_missing_ever_after(world: World) -> None:
    entries = entries_up_to(600)
    world.log.publish(entries)
    world.look()
    world.keep("kept.jws", receipt_for(entries[3]))
    tile = world.log.directory / "tile/0/000"
    withheld = tile.read_bytes()
    tile.unlink()
    assert alarms(world.look(later=3600)) == [Alarm.UNREACHABLE]
    tile.write_bytes(withheld)
    found = world.look(later=3601)
    assert (found.findings, found.receipts_found) == ((), 1)


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "refused", "decision": "deny", "fields_disclosed": ()}, {"exchange": "another"}, {"consumer": "E1"}],
    ids=["outcome", "exchange", "member"],
)
def test_an_entry_that_tells_another_story_than_the_receipt_is_an_alarm_for_ever(
    world: World, changes: dict[str, object]
) -> None:
    entries = entries_up_to(10)
    world.log.publish(entries)
    world.keep("kept.jws", receipt_for(entries[3], **changes))
    for _ in range(2):
        [finding] = world.look(later=3600).findings
        assert finding.alarm is Alarm.RECEIPT_CONTRADICTED
        assert "entry 3" in finding.text


def test_a_file_that_is_no_receipt_of_this_gateway_is_told(world: World) -> None:
    entries = entries_up_to(10)
    world.log.publish(entries)
    world.keep("stranger.jws", receipt_for(entries[3]), signer=PrivateKeySigner.generate("ES256"))
    world.keep("elsewhere.jws", receipt_for(entries[3], issuer="https://other.example"))
    (world.receipts / "junk").write_bytes(b"\xff\x00")
    (world.receipts / "object.json").write_text('{"receipt": 5}')
    found = world.look()
    assert {(finding.alarm, finding.about) for finding in found.findings} == {
        (Alarm.RECEIPT_UNUSABLE, name) for name in ("stranger.jws", "elsewhere.jws", "junk", "object.json")
    }
    assert found.size == 10


def test_a_file_may_bear_any_name_that_the_system_allows(world: World) -> None:
    entries = entries_up_to(10)
    world.log.publish(entries)
    world.keep(os.fsdecode(b"no text \xff.jws"), receipt_for(entries[3]))
    assert world.look().findings == ()
    found = world.look()
    assert (found.findings, found.receipts_found) == ((), 1)


def test_a_files_name_writes_no_lines_of_its_own(world: World) -> None:
    world.log.publish(entries_up_to(10))
    (world.receipts / os.fsdecode(b"x\n2126-11-23 all is well\x1b[2K\xff")).write_bytes(b"junk")
    public = PublicKeys(issuer=ISSUER, log_vkey=world.log.vkey, keys=(GATEWAY.public_jwk(),))
    (world.state.parent / "keys.json").write_bytes(encode_public_keys(public))
    places = {"from": world.log.directory, "key": world.state.parent / "keys.json", "state": world.state}
    arguments = [f"--{name}={place}" for name, place in places.items()]
    told = CliRunner().invoke(monitor_command(), [*arguments, f"--receipts={world.receipts}", "--once"])
    assert told.exit_code == 1
    assert len(told.output.splitlines()) == 2
    assert r"x\n2126-11-23 all is well\x1b[2K\udcff: " in told.output


def test_a_silent_log_is_an_alarm_only_where_that_was_asked_for(world: World) -> None:
    world.log.publish(entries_up_to(10))
    world.look()
    assert world.look(later=4000).findings == ()
    assert alarms(world.look(later=4000, quiet=3600)) == [Alarm.NOT_ADVANCING]
    world.log.publish([an_entry(10)])
    assert world.look(later=4001, quiet=3600).findings == ()


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b'{"format": "gateway-monitor/1"}'])
def test_a_damaged_memory_is_neither_a_fork_nor_none(world: World, damage: bytes) -> None:
    world.log.publish(entries_up_to(10))
    world.look()
    world.state.write_bytes(damage)
    with pytest.raises(StateUnusable):
        world.monitor()


def test_a_memory_that_somebody_edited_is_refused(world: World) -> None:
    world.log.publish(entries_up_to(10))
    world.look()
    world.state.write_text(world.state.read_text().replace("\\n10\\n", "\\n11\\n"))
    with pytest.raises(StateUnusable):
        world.monitor()


def test_a_memory_that_cannot_be_written_is_an_alarm(world: World) -> None:
    world.log.publish(entries_up_to(10))
    watching = world.monitor()
    world.state.mkdir()
    assert Alarm.STATE_UNWRITABLE in alarms(watching.look(now=NOW))
