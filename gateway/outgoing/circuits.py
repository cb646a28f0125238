"""Not to wait for systems that do not answer, and not to wait for one of them with every thread there is.

`Circuits`: after some failures in a row nobody calls that place for a while; then one caller tries, and its outcome
counts for all. `Places`: no more than so many callers are with one system at a time. Both belong to one process: what
a process has learned costs the others a few calls each, and nothing has to be shared or kept. Safe in threads.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Change = Literal["opened", "closed"]


@dataclass(slots=True, kw_only=True)
class _Circuit:
    failures: int = 0
    shut_until: float | None = None
    """On the monotonic clock; None as long as anybody may call."""
    trying: bool = False


class Circuits:
    """The circuits of all the places that are called. Only places that fail are remembered.

    `failures` in a row open a circuit; `seconds` is how long nobody calls then.
    """

    def __init__(self, *, failures: int, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._failures = failures
        self._seconds = seconds
        self._monotonic = monotonic
        self._circuits: dict[str, _Circuit] = {}
        self._lock = threading.Lock()

    def wait_for(self, place: str) -> float:
        """Return 0.0 if this place may be called now, and otherwise the seconds until that is worth another look.

        Whoever is let through an open circuit is its one trial, and must tell `note` or `give_up` how it ended.
        """
        with self._lock:
            circuit = self._circuits.get(place)
            if circuit is None or circuit.shut_until is None:
                return 0.0
            left = circuit.shut_until - self._monotonic()
            if left > 0:
                return left
            if circuit.trying:
                return self._seconds
            circuit.trying = True
            return 0.0

    def note(self, place: str, *, failed: bool) -> Change | None:
        """Note how a call ended; tells whether that opened or closed the circuit."""
        with self._lock:
            if not failed:
                gone = self._circuits.pop(place, None)
                return "closed" if gone is not None and gone.shut_until is not None else None
            circuit = self._circuits.setdefault(place, _Circuit())
            circuit.failures += 1
            if circuit.failures < self._failures:
                return None
            # What was under way when it opened fails too, one after the other: that is no news, and no longer wait.
            opens = circuit.shut_until is None or circuit.trying
            if opens:
                circuit.shut_until, circuit.trying = self._monotonic() + self._seconds, False
            return "opened" if opens else None

    def give_up(self, place: str) -> None:
        """Let another caller try: this one ended without having learned anything of the place."""
        with self._lock:
            circuit = self._circuits.get(place)
            if circuit is not None:
                circuit.trying = False


class Places:
    """At most `most` callers with each system."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._taken: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def one(self, system: str) -> Iterator[bool]:
        """Hold a place for the time of the block; False if there is none. Nobody waits for one: that holds a thread."""
        with self._lock:
            taken = self._taken.get(system, 0)
            has_place = taken < self._most
            if has_place:
                self._taken[system] = taken + 1
        try:
            yield has_place
        finally:
            if has_place:
                with self._lock:
                    self._taken[system] -= 1
                    if not self._taken[system]:
                        del self._taken[system]
