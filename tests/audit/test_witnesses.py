"""What is published is cosigned as the policy says, whatever single witnesses do; all of it over real HTTP."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from gateway.audit.errors import LogForked, QuorumMissed
from gateway.audit.models import EventRow
from gateway.audit.witnesses import Witnesses, load_policy
from gateway.errors import SettingsError
from gateway.outgoing.http_client import HttpClient
from gateway.web.alerts import Alerts
from gateway.wire.cosignatures import cosignatures_of
from gateway.wire.notes import parse_verifier_key
from gateway.wire.trust_policy import open_checkpoint_under, parse_policy
from tests.audit.test_sequencer import backup
from tests.kit import witness_servers as ways
from tests.kit.log import ORIGIN, TestLog
from tests.kit.witness_servers import Behaviour, ServedWitness, served

TIMEOUT = 0.6


class Witnessed:
    """A log and three witnesses of it."""

    def __init__(self, log: TestLog, witnesses: list[ServedWitness], stack: ExitStack) -> None:
        self.log = log
        self.witnesses = witnesses
        self._stack = stack

    def policy(self, quorum: str, count: int = 3) -> bytes:
        lines = [
            f"witness w{number} {witness.key.encode()} {witness.url}"
            for number, witness in enumerate(self.witnesses[:count])
        ]
        names = " ".join(f"w{number}" for number in range(count))
        lines += ["quorum none"] if quorum == "none" else [f"group all {quorum} {names}", "quorum all"]
        return ("\n".join(lines) + "\n").encode()

    def asking(self, quorum: str, count: int = 3) -> Witnesses:
        """The gateway's side, as after a start."""
        hosts = tuple(f"127.0.0.1:{witness.port}" for witness in self.witnesses)
        made = Witnesses(
            parse_policy(self.policy(quorum, count)),
            http=HttpClient(allow_loopback=hosts, allow_plain_http=True),
            timeout=TIMEOUT,
            audit=self.log.audit,
            alerts=Alerts(),
            clock=self.log.clock,
        )
        self._stack.callback(made.close)
        return made

    def cosigned_by(self) -> list[int]:
        """Which witnesses have cosigned the published checkpoint, verified by us."""
        note = (self.log.files / "checkpoint").read_bytes()
        found = {item.key for item in cosignatures_of(note, [witness.key for witness in self.witnesses])}
        return [number for number, witness in enumerate(self.witnesses) if witness.key in found]

    def published_size(self) -> int:
        path = self.log.files / "checkpoint"
        return int(path.read_text().split("\n")[1]) if path.exists() else -1

    def events(self) -> list[tuple[str, dict[str, object]]]:
        """What was recorded about witnesses."""
        with self.log.database.read() as session:
            rows = session.scalars(
                select(EventRow).where(EventRow.name.like("audit.witness.%")).order_by(EventRow.id)
            ).all()
            return [(row.name, dict(self.log.audit.details_of(session, row.id))) for row in rows]


@pytest.fixture
def witnessed(log: TestLog, tmp_path: Path) -> Iterator[Witnessed]:
    with three_witnesses(log, tmp_path) as made:
        yield made


@contextmanager
def three_witnesses(log: TestLog, folder: Path) -> Iterator[Witnessed]:
    key = parse_verifier_key(log.vkey)
    witnesses = [
        ServedWitness(folder / f"witness-{n}", name=f"witness.example/w{n}", logs=[key], clock=log.clock)
        for n in range(3)
    ]
    with served(*witnesses), ExitStack() as stack:
        yield Witnessed(log, witnesses, stack)


def test_what_is_published_is_cosigned_by_every_witness_that_answers(witnessed: Witnessed) -> None:
    log, asking = witnessed.log, witnessed.asking("2")
    sequencer, entries = log.sequencer(witnesses=asking), []
    for count in (3, 300, 1):
        entries += log.record(count)
        assert sequencer.run_once() == count
        assert witnessed.cosigned_by() == [0, 1, 2]
        note = (log.files / "checkpoint").read_bytes()
        policy = parse_policy(witnessed.policy("all"))
        trusted = open_checkpoint_under(policy, note, log_keys=[parse_verifier_key(log.vkey)])
        assert trusted.checkpoint.size == len(entries)
    log.assert_verifies(entries, exactly=True)
    assert witnessed.events() == []
    # From the second checkpoint on it is known how far each has come: one question each.
    assert [witness.asked for witness in witnessed.witnesses] == [3, 3, 3]


MISBEHAVIOUR: list[tuple[Behaviour, str]] = [
    (ways.unavailable, "witness_absent"),
    (ways.redirecting, "witness_absent"),
    (ways.huge, "witness_absent"),
    (ways.slow(TIMEOUT * 2), "witness_absent"),
    (ways.dripping, "witness_absent"),
    (ways.garbage, "witness_lying"),
    (ways.false_signature, "witness_lying"),
    (ways.wrong_key, "witness_lying"),
    (ways.far_future, "witness_lying"),
    (ways.far_past, "witness_lying"),
    (ways.other_root, "witness_lying"),
    (ways.larger_size, "witness_lying"),
    (ways.never_consistent, "witness_lying"),
]


@pytest.mark.parametrize(
    ("way", "alert"), MISBEHAVIOUR, ids=lambda value: value if isinstance(value, str) else value.__qualname__[:16]
)
def test_one_bad_witness_counts_nothing_and_holds_up_nobody(witnessed: Witnessed, way: Behaviour, alert: str) -> None:
    log = witnessed.log
    bad = witnessed.witnesses[1]
    bad.behaviour = way
    sequencer = log.sequencer(witnesses=witnessed.asking("2"))
    log.record(2)
    with capture_logs() as lines:
        assert sequencer.run_once() == 2
    assert witnessed.cosigned_by() == [0, 2]
    said = [(line["alert"], line["about"]) for line in lines if line.get("alert")]
    assert said == [(alert, bad.name)]
    state = alert.removeprefix("witness_")
    assert [(name, details["witness"], details["state"]) for name, details in witnessed.events()] == [
        ("audit.witness.failed", bad.name, state)
    ]
    # Entries about it do not make it be asked again and again.
    asked = bad.asked
    with capture_logs() as lines:
        while sequencer.run_once():
            pass
    assert bad.asked == asked
    assert not [line for line in lines if line.get("alert")]
    log.assert_verifies()


def test_without_the_quorum_nothing_is_published_until_it_is_there_again(witnessed: Witnessed) -> None:
    log = witnessed.log
    sequencer = log.sequencer(witnesses=witnessed.asking("2"))
    entries = log.record(2)
    sequencer.run_once()
    for witness in witnessed.witnesses[:2]:
        witness.behaviour = ways.unavailable
    published = (log.files / "checkpoint").read_bytes()
    for _ in range(3):
        entries += log.record(2)
        with pytest.raises(QuorumMissed, match="it answered 503"):
            sequencer.run_once()
        assert (log.files / "checkpoint").read_bytes() == published
    # The third has cosigned what outsiders have not seen: it must be continued, after a restart as well.
    assert witnessed.witnesses[2].size(ORIGIN) > 2
    for witness in witnessed.witnesses:
        witness.behaviour = ways.honest
    sequencer = log.sequencer(witnesses=witnessed.asking("2"))
    while sequencer.run_once():
        pass
    assert witnessed.cosigned_by() == [0, 1, 2]
    log.assert_verifies(entries)


def test_a_resting_witness_is_asked_when_the_quorum_needs_it(witnessed: Witnessed) -> None:
    log = witnessed.log
    sequencer = log.sequencer(witnesses=witnessed.asking("all"))
    witnessed.witnesses[0].behaviour = ways.unavailable
    log.record(1)
    with pytest.raises(QuorumMissed):
        sequencer.run_once()
    witnessed.witnesses[0].behaviour = ways.honest
    assert sequencer.run_once() > 0
    assert witnessed.cosigned_by() == [0, 1, 2]


def test_a_witness_that_comes_back_is_recorded_once_a_minute_at_most(witnessed: Witnessed) -> None:
    now = [1000.0]
    asking = witnessed.asking("2")
    asking._monotonic = lambda: now[0]
    log, flapping = witnessed.log, witnessed.witnesses[0]
    sequencer = log.sequencer(witnesses=asking)
    for turn in range(12):
        flapping.behaviour = ways.unavailable if turn % 2 == 0 else ways.honest
        log.record(1)
        sequencer.run_once()
        now[0] += 3
    assert [name for name, _details in witnessed.events()] == ["audit.witness.failed"]
    # Also when nothing else happens.
    while sequencer.run_once():
        pass
    now[0] += 120
    sequencer.run_once()
    assert [name for name, _details in witnessed.events()] == ["audit.witness.failed", "audit.witness.recovered"]


def test_a_slow_witness_beyond_the_quorum_costs_a_moment_and_is_added_afterwards(witnessed: Witnessed) -> None:
    log = witnessed.log
    sequencer = log.sequencer(witnesses=witnessed.asking("2"))
    log.record(1)
    sequencer.run_once()
    witnessed.witnesses[2].behaviour = ways.slow(TIMEOUT * 0.8)
    entries = log.record(1)
    sequencer.run_once()
    assert witnessed.cosigned_by() == [0, 1]
    text = (log.files / "checkpoint").read_text().split("\n\n")[0]
    wait_until(lambda: sequencer.run_once() == 0 and witnessed.cosigned_by() == [0, 1, 2])
    assert (log.files / "checkpoint").read_text().split("\n\n")[0] == text, "the same checkpoint, better signed"
    log.assert_verifies(entries)


def test_without_a_quorum_witnesses_are_asked_all_the_same(witnessed: Witnessed) -> None:
    log = witnessed.log
    sequencer = log.sequencer(witnesses=witnessed.asking("none"))
    witnessed.witnesses[1].behaviour = ways.unavailable
    log.record(1)
    assert sequencer.run_once() == 1
    assert witnessed.cosigned_by() == [0, 2]
    for witness in witnessed.witnesses:
        witness.behaviour = ways.unavailable
    log.record(1)
    sequencer.run_once()
    assert witnessed.cosigned_by() == []
    log.assert_verifies()


def test_a_policy_that_comes_later_is_satisfied_by_the_checkpoint_that_is_there(witnessed: Witnessed) -> None:
    log = witnessed.log
    entries = log.record(4)
    log.publish()
    assert witnessed.cosigned_by() == []
    assert log.sequencer(witnesses=witnessed.asking("all")).run_once() == 0
    assert witnessed.cosigned_by() == [0, 1, 2]
    log.assert_verifies(entries, exactly=True)


@contextmanager
def older_backup(witnessed: Witnessed, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """A backup of database and files, both equally old; the log went on, and the witnesses with it."""
    log = witnessed.log
    sequencer = log.sequencer(witnesses=witnessed.asking("2"))
    log.record(7)
    sequencer.run_once()
    restore_database = backup(log)
    shutil.copytree(log.files, tmp_path / "backup")
    log.record(5)
    sequencer.run_once()

    def restore() -> None:
        restore_database()
        shutil.rmtree(log.files)
        shutil.copytree(tmp_path / "backup", log.files)

    yield restore


@pytest.mark.parametrize("quorum", ["2", "none"])
@pytest.mark.parametrize("events_since", [1, 5, 40])
def test_database_and_files_restored_together_are_noticed_by_the_witnesses(
    witnessed: Witnessed, tmp_path: Path, quorum: str, events_since: int
) -> None:
    log = witnessed.log
    with older_backup(witnessed, tmp_path) as restore:
        restore()
    log.record(events_since)
    restored = (log.files / "checkpoint").read_bytes()
    sequencer = log.sequencer(witnesses=witnessed.asking(quorum))
    for _ in range(2):
        with pytest.raises(LogForked, match=r"the witness witness\.example/w") as refusal:
            sequencer.run_once()
        assert refusal.value.index == 7
        assert (log.files / "checkpoint").read_bytes() == restored
    # That the witnesses go away afterwards does not make it right.
    for witness in witnessed.witnesses:
        witness.behaviour = ways.unavailable
    with pytest.raises(LogForked):
        sequencer.run_once()
    assert (log.files / "checkpoint").read_bytes() == restored


def test_a_witness_that_cosigned_before_is_not_believed_when_it_says_it_knows_more(witnessed: Witnessed) -> None:
    log = witnessed.log
    sequencer = log.sequencer(witnesses=witnessed.asking("none", count=1))
    log.record(1)
    sequencer.run_once()
    witnessed.witnesses[0].behaviour = ways.larger_size
    entries = log.record(1)
    with capture_logs() as lines:
        assert sequencer.run_once() == 1
    assert "witness_lying" in {line.get("alert") for line in lines}
    log.assert_verifies(entries)


def test_a_policy_that_cannot_be_kept_is_a_setting_that_cannot_be_used(witnessed: Witnessed, tmp_path: Path) -> None:
    path, policy = tmp_path / "policy.txt", witnessed.policy("3")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_policy(path)
    path.write_bytes(policy.replace(b"group", b"troop"))
    with pytest.raises(SettingsError, match="line 4 of the policy"):
        load_policy(path)
    path.write_bytes(policy.replace(witnessed.witnesses[2].url.encode(), b""))
    with pytest.raises(SettingsError, match="URL"):
        load_policy(path)
    path.write_bytes(policy)
    assert load_policy(path) == parse_policy(policy)


def test_a_witness_on_loopback_is_asked_only_when_that_is_allowed(witnessed: Witnessed) -> None:
    asking = witnessed.asking("any")
    asking._http = HttpClient(allow_plain_http=True)
    witnessed.log.record(1)
    with pytest.raises(QuorumMissed, match="address_forbidden"):
        witnessed.log.sequencer(witnesses=asking).run_once()
    assert [witness.asked for witness in witnessed.witnesses] == [0, 0, 0]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
