"""One process of the load on the log: `appending URL FOLDER THREADS SECONDS PACE`, its figures as JSON on stdout.

It says `ready` once its threads have warmed up, and begins to count at the next line of its standard input, so that
several processes are measured over the same seconds. `PACE` is how many entries a second it makes at most; 0 is no
limit.
"""

import json
import secrets
import sys
import threading
import time
from pathlib import Path

from gateway.audit.append import AuditLog, Event
from gateway.audit.subject_keys import SubjectKeys
from gateway.clock import SystemClock
from gateway.db import Database, new_id
from gateway.errors import GatewayError

PEOPLE = 200
WARM_UP = 200
"""Entries of each process before anything counts: every person's key is made by then."""


def an_event(person: int) -> Event:
    """A disclosure with details of an ordinary size."""
    return Event(
        name="sharing.record.disclosed",
        outcome="disclosed",
        members=("E06000008", "dwp"),
        details={"client": "blackburn-portal", "purpose": "fsm", "fields_disclosed": ["eligible", "tier"]},
        subject=f"person-{person}",
        reference=str(new_id()),
    )


class _Load:
    """The threads of this process, and what they measured."""

    def __init__(self, database: Database, folder: Path, *, pace: float) -> None:
        self._audit = AuditLog(database=database, subject_keys=SubjectKeys(folder / "subject-keys"))
        self._clock = SystemClock()
        self._pace = pace
        self._ends = 0.0
        self.durations: list[list[float]] = []
        self.failures = 0

    def warm_up(self) -> None:
        for number in range(WARM_UP):
            self._audit.record(an_event(number % PEOPLE), at=self._clock.now())

    def run(self, *, threads: int, seconds: float) -> None:
        """Record from every thread for so long; every thread has a list of durations of its own."""
        begun = time.perf_counter()
        self._ends = begun + seconds
        self.durations = [[] for _ in range(threads)]
        every = threads / self._pace if self._pace else 0.0
        running = [
            threading.Thread(target=self._thread, args=(number, begun + every * number / threads, every))
            for number in range(threads)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def _thread(self, number: int, begins: float, every: float) -> None:
        durations, due = self.durations[number], begins
        while (started := time.perf_counter()) < self._ends:
            if started < due:
                time.sleep(due - started)
                started = time.perf_counter()
            # What is late is not made up for in a burst.
            due = max(due + every, started)
            try:
                self._audit.record(an_event(secrets.randbelow(PEOPLE)), at=self._clock.now())
            except GatewayError:
                self.failures += 1
            else:
                durations.append(time.perf_counter() - started)


def main(url: str, folder: str, threads: str, seconds: str, pace: str) -> None:
    """Be one process of the load."""
    database = Database(url)
    load = _Load(database, Path(folder), pace=float(pace))
    load.warm_up()
    print("ready", flush=True)
    sys.stdin.readline()
    load.run(threads=int(threads), seconds=float(seconds))
    result = {"durations": load.durations, "failures": load.failures, "cpu": time.process_time()}
    print(json.dumps(result), flush=True)
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
