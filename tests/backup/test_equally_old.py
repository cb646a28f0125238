"""Database and log both put back from equally old copies: nothing here can know, so others must, and do."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit.checking.monitor import Alarm, Monitor, Round, Watch
from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.trust import trust_in
from tests.backup.house import House


@pytest.mark.parametrize("events_since", [1, 40], ids=["shorter than before", "longer than before"])
def test_a_monitor_notices_and_a_mirror_of_the_log_mends_it(
    house: House, empty_database: Callable[[], str], tmp_path: Path, events_since: int
) -> None:
    house.record(20)
    house.publish()
    assert house.backup(tmp_path / "copy").exit_code == 0
    house.record(7)
    house.publish()
    assert look(house, tmp_path).findings == ()
    shutil.copytree(house.log_dir, tmp_path / "mirror")

    # The operator's word is wrong: seven entries were published since.
    shutil.rmtree(house.log_dir)
    restored = house.with_database(empty_database())
    assert restored.restore(tmp_path / "copy", "--nothing-was-published-since").exit_code == 0
    restored.record(events_since)
    restored.publish()
    assert [finding.alarm for finding in look(house, tmp_path).findings] == [Alarm.FORKED]

    # What others kept of the log is put where it was, and the backup restored once more.
    shutil.rmtree(house.log_dir)
    shutil.copytree(tmp_path / "mirror", house.log_dir)
    mended = house.with_database(empty_database())
    done = mended.restore(tmp_path / "copy")
    assert done.exit_code == 0, done.output
    assert "7 entries were taken from the published log" in done.output
    mended.record(1)
    mended.publish()
    last = look(house, tmp_path)
    assert (last.new, {finding.alarm for finding in last.findings}) == (2, set())


def look(house: House, folder: Path) -> Round:
    """One round of a monitor that remembers, over what the gateway publishes."""
    watch = Watch(source=FileSource(house.log_dir), trust=trust_in([house.vkey]), state_file=folder / "monitor.json")
    return Monitor(watch).look(now=house.gateway.clock.now())
