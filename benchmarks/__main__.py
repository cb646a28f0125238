"""The command: measure the floor, then each figure on each database, print and keep the result."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import exchanging, in_process, log_reading, log_writing, over_http, provider, report
from benchmarks.figures import Figure
from benchmarks.floor import THREADS, WORKERS, Floor, measure_floor
from gateway.db import Database
from gateway.migrate import migrate
from gateway.settings import POLICIES_DIR
from tests.kit.postgres import NoPostgres, Server
from tests.kit.processes import Processes, processes
from tests.kit.world import World, running_world

DATABASES = ("sqlite", "postgresql")
OVER_HTTP: dict[str, Callable[..., Figure]] = {
    "tokens": provider.grants,
    "passwords": provider.password_sign_ins,
    "refreshes": provider.refreshes,
    "pushed": provider.pushed_code_flows,
    "userinfo": provider.userinfo,
    "introspections": provider.introspections,
    "sign-ins": over_http.sign_ins,
}
EXCHANGING = ("exchanges", "added-latency", "mixed-exchanges")
OF_FILES = ("verification", "proofs")
"""What needs no database: measured once."""
NAMES = (*OVER_HTTP, *EXCHANGING, "appends", "durable-appends", "publish-delay", "catch-up", "decisions", *OF_FILES)
FLOOR_SECONDS = 1.0

NewDatabase = Callable[[str], str]
Step = Callable[[str], object]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; the exit status says only whether measuring was possible."""
    asked = _parse(arguments)
    console = Console()
    chosen = DATABASES if asked.database == "both" else (asked.database,)
    facts = report.machine(command=shlex.join(["python", "-m", "benchmarks", *(arguments or sys.argv[1:])]))
    figures: list[Figure] = []
    with _progress(console, total=1 + len(chosen) * len(asked.only)) as step:
        step("the machine's floor")
        floor = measure_floor(seconds=FLOOR_SECONDS)
        figures += _of_files(floor, only=asked.only, seconds=asked.seconds, step=step)
        for kind in chosen:
            try:
                with _databases(kind) as new_database:
                    figures += _measure(kind, new_database, floor, only=asked.only, seconds=asked.seconds, step=step)
            except NoPostgres as missing:
                console.print(f"{missing}", style="red")
                return 2
    report.show(console, floor, figures, facts)
    console.print(f"written: {report.write(floor, figures, facts)}", highlight=False)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the gateway beside the machine's own floor. Load goes to loopback only.",
    )
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both", help="default: both")
    parser.add_argument(
        "--seconds", type=_seconds, default=8.0, help="how long each figure is measured, 1 to 120 (default: 8)"
    )
    parser.add_argument(
        "--only", action="append", choices=NAMES, help="measure this alone; may be repeated (default: everything)"
    )
    asked = parser.parse_args(arguments)
    asked.only = tuple(name for name in NAMES if not asked.only or name in asked.only)
    return asked


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a number of seconds is needed") from None
    if not 1 <= seconds <= 120:
        raise argparse.ArgumentTypeError("between 1 and 120 seconds")
    return seconds


def _measure(
    kind: str, new_database: NewDatabase, floor: Floor, *, only: Sequence[str], seconds: float, step: Step
) -> Iterator[Figure]:
    wanted = [name for name in OVER_HTTP if name in only]
    if wanted:
        with _world(new_database("world")) as (world, _):
            for name in wanted:
                step(f"{name} on {kind}")
                yield OVER_HTTP[name](world, floor, database=kind, seconds=seconds)
    if any(name in only for name in EXCHANGING):
        yield from _exchanging(kind, new_database("exchanging"), floor, only=only, seconds=seconds, step=step)
    if "appends" in only:
        step(f"audit appends on {kind}")
        with _database(new_database("appends")) as database, tempfile.TemporaryDirectory() as folder:
            yield in_process.appends(database, floor, name=kind, folder=Path(folder), seconds=seconds)
    yield from _writing_the_log(kind, new_database, floor, only=only, seconds=seconds, step=step)
    if "decisions" in only:
        step(f"decisions on {kind}")

        def signing(done: int, of: int) -> None:
            step(f"decisions on {kind}: {done:,} of {of:,} agreements signed")

        with _database(new_database("decisions")) as database:
            yield from in_process.decisions(
                database, name=kind, policies_dir=POLICIES_DIR, seconds=seconds / 2, progress=signing
            )


def _exchanging(
    kind: str, url: str, floor: Floor, *, only: Sequence[str], seconds: float, step: Step
) -> Iterator[Figure]:
    port = exchanging.department_port()
    with (
        _world(url, more_providers=[f"localhost:{port}"]) as (world, group),
        exchanging.council(world, group, port) as council,
    ):
        if "exchanges" in only:
            step(f"exchanges on {kind}")
            yield exchanging.exchanges(council, floor, database=kind, seconds=seconds)
        if "added-latency" in only:
            step(f"added latency on {kind}")
            yield from exchanging.added(council, database=kind, seconds=seconds)
        if "mixed-exchanges" in only:
            step(f"exchanges of mixed sizes on {kind}")
            yield exchanging.mixed(council, floor, database=kind, seconds=seconds)


def _writing_the_log(
    kind: str, new_database: NewDatabase, floor: Floor, *, only: Sequence[str], seconds: float, step: Step
) -> Iterator[Figure]:
    if "durable-appends" in only:
        step(f"durable appends on {kind}")
        with _database(new_database("durable")) as database, tempfile.TemporaryDirectory() as folder:
            yield from log_writing.durable_appends(
                database, floor, name=kind, folder=Path(folder), seconds=max(2.0, seconds * 0.4)
            )
    if "publish-delay" in only:
        step(f"publish delay on {kind}")
        with _database(new_database("publish")) as database, tempfile.TemporaryDirectory() as folder:
            yield log_writing.publish_delay(database, name=kind, folder=Path(folder), seconds=seconds)
    if "catch-up" in only:
        step(f"catching up on {kind}")
        with _database(new_database("backlog")) as database, tempfile.TemporaryDirectory() as folder:
            yield log_writing.catch_up(database, floor, name=kind, folder=Path(folder))


def _of_files(floor: Floor, *, only: Sequence[str], seconds: float, step: Step) -> Iterator[Figure]:
    if "verification" in only:
        step("verification of a log's files")
        yield log_reading.verification(floor)
    if "proofs" in only:
        step("proofs from a log's files")
        yield log_reading.proofs(floor, seconds=seconds)


@contextmanager
def _world(url: str, *, more_providers: Sequence[str] = ()) -> Iterator[tuple[World, Processes]]:
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
        processes(Path(folder) / "logs") as group,
        # Beyond these, the settings are those that a deployment starts with.
        running_world(
            Path(folder) / "state",
            url,
            group,
            workers=WORKERS,
            threads=THREADS,
            sequencer_interval=0.2,
            exchange_lease=30.0,
            # All clients ask for one council, one agreement and one department: their limits are not what is measured.
            member_requests_per_minute=1_000_000,
            agreement_requests_per_minute=1_000_000,
            provider_calls=THREADS,
            more_providers=more_providers,
        ) as world,
    ):
        yield world, group


@contextmanager
def _database(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _databases(kind: str) -> Iterator[NewDatabase]:
    """Make empty, migrated databases by name, as durable as a deployment's; all are gone at the end."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:

            def new_file(name: str) -> str:
                url = f"sqlite:///{folder}/{name}.sqlite3"
                migrate(url)
                return url

            yield new_file
        return
    server = Server(durable=True)
    try:

        def new_database(name: str) -> str:
            server.cluster.create(name)
            migrate(server.cluster.url(name))
            return server.cluster.url(name)

        yield new_database
    finally:
        server.stop()


@contextmanager
def _progress(console: Console, *, total: int) -> Iterator[Step]:
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as shown:
        task, begun = shown.add_task("starting", total=total), -1

        def step(what: str) -> None:
            nonlocal begun
            begun += ":" not in what  # a colon reports on the step at hand
            shown.update(task, description=what, completed=begun)

        yield step


if __name__ == "__main__":
    sys.exit(main())
