"""The table people read, and the JSON that programs compare."""

import json
import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.floor import Floor
from gateway.clock import SystemClock, rfc3339

WIDTH = 150
RESULTS = Path(__file__).resolve().parent / "results"


def machine(*, command: str) -> dict[str, Any]:
    """Facts without which a figure says nothing, among them the command that measured it."""
    return {
        "command": command,
        "processors": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cryptography": version("cryptography"),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def show(console: Console, floor: Floor, figures: Sequence[Figure], facts: Mapping[str, Any]) -> None:
    """Print the machine, its floor and the figures."""
    if not console.is_terminal:
        console = Console(width=WIDTH)  # a file has no width of its own, and a wrapped table cannot be read
    console.print(
        f"\n{facts['processors']} processors ({facts['processor']}), {facts['system']}, Python {facts['python']}, "
        f"load average before {facts['load_average'][0]}\n{facts['command']}",
        highlight=False,
    )
    floors = Table("the machine's floor", "one takes", "a second", title_justify="left")
    for name, seconds in (
        ("ES256 signature (a JWT)", floor.es256_sign),
        ("ES256 verification", floor.es256_verify),
        ("SHA-256 of 1 KiB", floor.sha256_kibibyte),
        ("Argon2id, 19 MiB, 2 passes", floor.argon2),
        ("fsync of a small append", floor.fsync),
        ("loopback HTTP, trivial application, 8 clients", 1 / floor.http_per_second),
        ("the same, 8 lean clients", 1 / floor.lean_http_per_second),
    ):
        floors.add_row(name, f"{seconds * 1e6:,.0f} µs", f"{1 / seconds:,.0f}")
    table = Table(
        *("figure", "database", "a second", "median", "95 %", "99 %"),
        *("floor a second", "ratio", "gateway CPU", "failed", "load"),
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for item in figures:
        cpu = "" if item.cpu_milliseconds is None else f"{item.cpu_milliseconds:.1f} ms"
        if item.cpu_milliseconds is not None and item.cpu_floor_milliseconds:
            cpu += f" ({item.cpu_milliseconds / item.cpu_floor_milliseconds:.0f}× floor)"
        table.add_row(
            item.name,
            item.database,
            f"{item.per_second:,.1f}",
            f"{item.median_milliseconds:,.1f} ms",
            f"{item.slow_milliseconds:,.1f} ms",
            f"{item.slowest_milliseconds:,.1f} ms",
            f"{item.floor_per_second:,.0f}",
            f"{item.ratio:.3f}",
            cpu,
            str(item.failures),
            f"{item.load_average:.1f}",
        )
    console.print(floors, table)
    for item in figures:
        if item.note:
            console.print(f"{item.name}, {item.database}: {item.note}", highlight=False)


def write(floor: Floor, figures: Sequence[Figure], facts: Mapping[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write everything as JSON; returns the file."""
    now = SystemClock().now()
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "measured_at": rfc3339(now),
        "machine": dict(facts),
        "floor": asdict(floor),
        "figures": [{**asdict(item), "ratio": item.ratio} for item in figures],
    }
    path = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
