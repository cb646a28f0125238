"""What alerts the publishing of the log gives: from how a run of the sequencer ended, and from how far it is behind."""

import errno
from collections.abc import Callable

from gateway.audit.errors import LogForked, LogUnreadable, QuorumMissed
from gateway.audit.merge_delay import LogBehind, MergeDelay
from gateway.web.alerts import Alert, Alerts
from gateway.wire.errors import InvalidTree

_OF_A_RUN = (Alert.LOG_FORKED, Alert.WITNESS_QUORUM_MISSED, Alert.LOG_UNWRITABLE, Alert.LOG_DAMAGED)


def sequencing(run_once: Callable[[], int], alerts: Alerts) -> Callable[[], int]:
    """Return the sequencer's `run_once` with its alerts: each ends when a run ends well, or in another way."""

    def told() -> int:
        try:
            published = run_once()
        except LogForked as error:
            _only(alerts, Alert.LOG_FORKED, reason=error.public, index=error.index)
            raise
        except QuorumMissed as error:
            _only(alerts, Alert.WITNESS_QUORUM_MISSED, reason=error.detail)
            raise
        except (LogUnreadable, InvalidTree) as error:
            _only(alerts, Alert.LOG_DAMAGED, reason=error.public)
            raise
        except OSError as error:
            _only(alerts, Alert.LOG_UNWRITABLE, reason=errno.errorcode.get(error.errno or 0, type(error).__name__))
            raise
        for alert in _OF_A_RUN:
            alerts.ended(alert)
        return published

    return told


def watching(merge_delay: MergeDelay, alerts: Alerts) -> Callable[[], int]:
    """Return a task that looks whether every event was published as soon as was promised."""

    def look() -> int:
        try:
            merge_delay.check()
        except LogBehind as error:
            alerts.raised(Alert.LOG_BEHIND, reason=error.public)
        else:
            alerts.ended(Alert.LOG_BEHIND)
        return 0

    return look


def _only(alerts: Alerts, alert: Alert, *, reason: str | None, index: int | None = None) -> None:
    for other in _OF_A_RUN:
        if other is not alert:
            alerts.ended(other)
    if index is None:
        alerts.raised(alert, reason=reason)
    else:
        alerts.raised(alert, reason=reason, index=index)
