"""Alerts: what somebody must look at. One ERROR line with `alert="<name>"` when a state begins, then each minute.

The names are stable: docs/operations.md ("Alerts") says of each what it means and what to do. What ends is said once.
"""

import threading
import time
from collections.abc import Callable
from enum import StrEnum

import structlog

log = structlog.get_logger("gateway.alerts")

REPEATED_AFTER = 60.0  # seconds


class Alert(StrEnum):
    """Every alert there is."""

    LOG_FORKED = "log_forked"
    LOG_DAMAGED = "log_damaged"
    LOG_UNWRITABLE = "log_unwritable"
    LOG_BEHIND = "log_behind"
    WITNESS_QUORUM_MISSED = "witness_quorum_missed"
    WITNESS_LYING = "witness_lying"
    WITNESS_ABSENT = "witness_absent"
    WITNESSED_FORK = "witnessed_fork"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    DELIVERIES_GIVEN_UP = "deliveries_given_up"


class Alerts:
    """The alerts of one process. Safe in threads."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said: dict[tuple[Alert, str], float] = {}
        self._lock = threading.Lock()

    def raised(self, alert: Alert, *, about: str = "", **facts: object) -> None:
        """Say that this state holds, unless that was said within the last minute.

        `about` tells apart what may be in the state independently (two witnesses); `facts` hold no personal data.
        """
        with self._lock:
            now = self._monotonic()
            said = self._said.get((alert, about))
            if said is not None and now - said < REPEATED_AFTER:
                return
            self._said[alert, about] = now
        log.error("alert", alert=alert.value, **({"about": about} if about else {}), **facts)

    def ended(self, alert: Alert, *, about: str = "") -> None:
        """Say that this state holds no longer, if it did."""
        with self._lock:
            said = self._said.pop((alert, about), None)
        if said is not None:
            # Above INFO: whoever sees that it began sees that it is over.
            log.warning("alert ended", ended=alert.value, **({"about": about} if about else {}))
