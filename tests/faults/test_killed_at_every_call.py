"""The sequencer, and whoever records events, die in place of each call that would have changed a disk or a database.

Every such call of a run has its turn: killed in place of the 1st fsync, of the 2nd, and so on until a run ends by
itself (of the recorder's many writes to the database, every third). After each death an outsider reads what was left,
the log goes on, and the outsider looks again.
"""

from collections import Counter
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest

from gateway.audit.append import Entry
from gateway.wire.tiles import TILE_WIDTH
from tests.faults.apart import STRIDE, apart, recorder, sequence_once
from tests.kit.log import TestLog
from tests.kit.outsider import Outsider
from tests.kit.strace import LASTING, dies_at, run_with_faults

pytestmark = [pytest.mark.prove, pytest.mark.timeout(300)]

NEW = 12


@pytest.mark.parametrize("fills_a_tile", [False, True], ids=["within a tile", "over the edge of a tile"])
def test_the_log_goes_on_wherever_its_sequencer_was_killed(log: TestLog, tmp_path: Path, *, fills_a_tile: bool) -> None:
    outsider, recorded, killed = Outsider(location=log.files, vkey=log.vkey), list[Entry](), Counter[str]()
    for call in LASTING:
        for number in count(1):
            if fills_a_tile:
                recorded += log.record((TILE_WIDTH - NEW // 2 - len(recorded)) % TILE_WIDTH)
                log.publish()
            recorded += log.record(NEW)
            ended = run_with_faults(apart(log, sequence_once), dies_at(call, number), output=tmp_path / "calls")
            assert ended.killed or ended.status == 0
            outsider.look()  # whatever stands there now, somebody may have read it
            log.publish()
            assert outsider.look() == len(recorded)
            if not ended.killed:
                break
            killed[call] += 1
    assert_all_were_met(killed, log)
    log.assert_verifies(recorded, exactly=True)


def test_no_acknowledged_event_is_lost_wherever_its_process_was_killed(log: TestLog, tmp_path: Path) -> None:
    outsider, acknowledged, killed = Outsider(location=log.files, vkey=log.vkey), set[UUID](), Counter[str]()
    with recorder() as recording:
        for call in LASTING:
            for number in count(1, STRIDE.get(call, 1)):
                recording.newcomer = f"newcomer to {call} {number}"
                ended = run_with_faults(
                    apart(log, recording.record_some), dies_at(call, number), output=tmp_path / "calls"
                )
                assert ended.killed or ended.status == 0
                acknowledged |= recording.acknowledged()
                # Others go on at once, even about a person whose key was being made.
                acknowledged |= {entry.event_id for entry in log.record(2, subject=recording.newcomer)}
                log.publish()
                outsider.look()
                if not ended.killed:
                    break
                killed[call] += 1
    assert_all_were_met(killed, log)
    log.assert_verifies()
    assert {str(event) for event in acknowledged} <= set(outsider.events)
    # An event is acknowledged with its details: they can be read, whatever became of the process that made the key.
    with log.database.read() as session:
        assert all(log.audit.details_of(session, event) for event in acknowledged)


def assert_all_were_met(killed: Counter[str], log: TestLog) -> None:
    """Something died at files and at the database: else nothing was proved."""
    of_the_database = {"pwrite64", "fdatasync"} if log.database.is_sqlite else {"sendto"}
    assert {"write", "fsync", *of_the_database} <= set(killed), killed
    assert killed["rename"] + killed["renameat"] + killed["renameat2"], killed
    print(f"killed: {dict(killed)}")  # noqa: T201 - shown with `pytest -s`: how many places there were
