"""Whoever asks while the log is late is told so; a good finding is believed no longer than it can be true."""

import pytest

from gateway.audit.merge_delay import LogBehind, MergeDelay
from tests.kit.log import TestLog


def test_the_log_is_late_until_what_waits_is_published(log: TestLog) -> None:
    promise = MergeDelay(log.database, log_dir=log.files, clock=log.clock, seconds=10)
    promise.check()
    log.record()
    log.clock.advance(seconds=10)
    promise.check()
    log.clock.advance(seconds=1)
    with pytest.raises(LogBehind) as told:
        promise.check()
    assert told.value.retry_after
    log.publish()
    promise.check()


def test_a_numbered_event_is_late_too_while_it_is_not_published(log: TestLog) -> None:
    promise = MergeDelay(log.database, log_dir=log.files, clock=log.clock, seconds=10)
    log.record()
    log.sequencer()._number()
    log.clock.advance(seconds=11)
    with pytest.raises(LogBehind):
        promise.check_lately()


def test_without_the_published_log_nothing_is_released_however_new_the_database_looks(log: TestLog) -> None:
    """A copy was put back on a new disk: whether it is an old one, only the log could tell."""
    promise = MergeDelay(log.database, log_dir=log.files, clock=log.clock, seconds=10)
    log.record()
    log.publish()
    promise.check()
    note = (log.files / "checkpoint").read_bytes()
    (log.files / "checkpoint").unlink()
    with pytest.raises(LogBehind):
        promise.check()
    (log.files / "checkpoint").write_bytes(b"junk")
    with pytest.raises(LogBehind):
        promise.check()
    (log.files / "checkpoint").write_bytes(note)
    promise.check()


def test_a_good_finding_is_not_believed_beyond_the_moment_at_which_an_event_is_late(log: TestLog) -> None:
    promise = MergeDelay(log.database, log_dir=log.files, clock=log.clock, seconds=10)
    log.record()
    log.clock.advance(seconds=10)
    promise.check_lately()  # not late yet, with not a moment left
    log.clock.advance(seconds=0.001)
    with pytest.raises(LogBehind):
        promise.check_lately()
