"""A process of its own for tests: `appending DATABASE_URL DIRECTORY COUNT [PAUSE]` records events, printing each id.

An id is printed once its event is committed. `sequencing` instead of a count publishes until it is ended.
"""

import sys
import time
from pathlib import Path

from gateway.clock import SystemClock
from gateway.db import Database
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.log import TestLog, an_event


def main(url: str, directory: str, job: str) -> None:
    """Append `job` events one by one, or sequence for ever."""
    database = Database(url, timeout=30)
    signer = PrivateKeySigner.from_pem((Path(directory) / "log.pem").read_bytes())
    log = TestLog(database=database, directory=Path(directory), signer=signer, clock=FrozenClock())
    if job == "sequencing":
        while True:
            if log.sequencer(batch=256).run_once() == 0:
                time.sleep(0.002)
    for number in range(int(job)):
        with database.write() as session:
            event = an_event(subject=f"person-{number % 7}")
            entry = log.audit.append(session, event, at=SystemClock().now())
        sys.stdout.write(f"{entry.event_id}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
