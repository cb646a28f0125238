"""A process of its own for tests: `recording URL DIRECTORY THREADS` records events from many threads until SIGTERM.

It says `ready`, begins at the first line of its standard input, and then prints `<thread> <event id>` for each event
that is durable: what is printed was acknowledged.
"""

import signal
import sys
import threading
from pathlib import Path

from gateway.audit.append import AuditLog
from gateway.audit.subject_keys import SubjectKeys
from gateway.clock import SystemClock
from gateway.db import Database
from tests.kit.log import an_event


def main(url: str, directory: str, threads: str) -> None:
    """Record until told to stop."""
    database, stop = Database(url, timeout=30), threading.Event()
    audit = AuditLog(database=database, subject_keys=SubjectKeys(Path(directory) / "subject-keys"))
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def record(number: int) -> None:
        while not stop.is_set():
            entry = audit.record(an_event(subject=f"person-{number % 7}"), at=SystemClock().now())
            sys.stdout.write(f"{number} {entry.event_id}\n")
            sys.stdout.flush()

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    running = [threading.Thread(target=record, args=(number,)) for number in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
