"""Memory during a 10 MB answer: how far a worker's rises while a document comes in, and while it goes out.

python -m benchmarks.attachment_memory
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor import THREADS, WORKERS
from gateway.migrate import migrate
from tests.conformance.attached import ask, attached
from tests.faults.pressure import web_workers
from tests.kit.attaching_department import FIELD
from tests.kit.memory import watching_memory
from tests.kit.processes import processes
from tests.kit.world import World, running_world

SIZE = 10 * 1024 * 1024
WARMING_UP = 12
"""Small documents first: what a worker takes for its first one, it keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """By how many bytes the resident memory of the worker that grew most rose above where it was."""

    coming_in: int
    going_out: int


def rise_during_ten_megabytes(world: World, folder: Path) -> Rise:
    """Ask for a record with a document of 10 MB, fetch it, and watch every worker meanwhile (Linux)."""
    small, large = attached(world, size=200_000), attached(world, size=SIZE, answer_seconds=30.0)
    for _ in range(WARMING_UP):
        ask(world, small).attachments[FIELD].save(folder / "small.pdf")
    workers = web_workers(world)
    with watching_memory(workers) as coming_in:
        answer = ask(world, large)
    with watching_memory(workers) as going_out:
        answer.attachments[FIELD].save(folder / "large.pdf")
    return Rise(coming_in=coming_in.most, going_out=going_out.most)


def main() -> int:
    """Measure once, on SQLite: documents touch the database no more than their rows do."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'gateway.sqlite3'}"
        migrate(url)
        with (
            processes(folder / "logs") as group,
            running_world(folder / "state", url, group, workers=WORKERS, threads=THREADS) as world,
        ):
            rise = rise_during_ten_megabytes(world, folder)
    print(
        f"memory during a 10 MB answer: a worker's rises by {rise.coming_in / 1024:,.0f} kB while the document comes "
        f"in, by {rise.going_out / 1024:,.0f} kB while it goes out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
