"""What is wrong with the log is said as an alert: at once, then once a minute, and when it is over."""

import errno
from collections.abc import Callable
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from gateway.audit.errors import LogForked, LogUnreadable, QuorumMissed
from gateway.audit.log_alerts import sequencing, watching
from gateway.audit.merge_delay import MergeDelay
from gateway.errors import Unavailable
from gateway.web.alerts import Alerts
from tests.kit.log import TestLog


class Minutes:
    """A monotonic clock."""

    seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


def failing(error: Exception) -> Callable[[], NoReturn]:
    def run_once() -> NoReturn:
        raise error

    return run_once


ENDINGS = [
    (LogForked("entry 7 is lost", index=7), "log_forked", "entry 7 is lost"),
    (QuorumMissed(detail="w1: no answer in time"), "witness_quorum_missed", "w1: no answer in time"),
    (OSError(errno.ENOSPC, "No space left on device"), "log_unwritable", "ENOSPC"),
    (LogUnreadable("tile/0/000 is missing"), "log_damaged", "tile/0/000 is missing"),
]


@pytest.mark.parametrize(("error", "alert", "reason"), ENDINGS, ids=[alert for _error, alert, _reason in ENDINGS])
def test_a_run_that_fails_is_an_alert_once_a_minute_and_its_end_is_said(
    error: Exception, alert: str, reason: str
) -> None:
    minutes = Minutes()
    alerts = Alerts(monotonic=minutes)
    run = sequencing(failing(error), alerts)
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(type(error)):
                run()
    assert [(line["log_level"], line["alert"], line["reason"]) for line in lines] == [("error", alert, reason)]
    assert lines[0].get("index") == (7 if alert == "log_forked" else None)
    minutes.seconds += 61
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(type(error)):
                run()
    assert [line["alert"] for line in lines] == [alert]
    well = sequencing(lambda: 3, alerts)
    with capture_logs() as lines:
        assert well() == 3
        assert well() == 3
    assert [line["ended"] for line in lines] == [alert]
    with capture_logs() as lines, pytest.raises(type(error)):
        run()
    assert [line["alert"] for line in lines] == [alert], "it began anew"


def test_one_trouble_follows_another() -> None:
    alerts = Alerts(monotonic=Minutes())
    with capture_logs() as lines:
        for error, _alert, _reason in ENDINGS[:2]:
            with pytest.raises(type(error)):
                sequencing(failing(error), alerts)()
    assert [(line.get("alert"), line.get("ended")) for line in lines] == [
        ("log_forked", None),
        (None, "log_forked"),
        ("witness_quorum_missed", None),
    ]


def test_a_database_that_is_away_ends_no_alert() -> None:
    alerts = Alerts(monotonic=Minutes())
    with capture_logs() as lines:
        for error in (LogForked("entry 7 is lost", index=7), Unavailable()):
            with pytest.raises(type(error)):
                sequencing(failing(error), alerts)()
    assert [line.get("alert") for line in lines] == ["log_forked"]


def test_a_log_behind_its_merge_delay_is_an_alert_until_it_has_caught_up(log: TestLog) -> None:
    watch = watching(MergeDelay(log.database, log_dir=log.files, clock=log.clock, seconds=10), Alerts())
    log.record(1)
    with capture_logs() as lines:
        watch()
        log.clock.advance(seconds=11)
        watch()
        watch()
        log.publish()
        watch()
        watch()
    assert [(line.get("alert"), line.get("ended")) for line in lines] == [("log_behind", None), (None, "log_behind")]
