"""One measured figure beside its floor."""

import os
from dataclasses import dataclass

from benchmarks.floor import Floor
from benchmarks.measuring import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The part of one operation that cannot be left out: what its floor is made of."""

    signs: int = 0
    verifies: int = 0
    argon2: int = 0
    commits: int = 0
    round_trips: float = 0
    lean_round_trips: float = 0

    def floor(self, floor: Floor) -> float:
        """Operations a second, if nothing else had to be done."""
        return floor.rate(
            signs=self.signs,
            verifies=self.verifies,
            argon2=self.argon2,
            commits=self.commits,
            round_trips=self.round_trips,
            lean_round_trips=self.lean_round_trips,
        )

    def __str__(self) -> str:
        """Say it in a few words."""
        parts = (
            (self.signs, "signature"),
            (self.verifies, "verification"),
            (self.argon2, "Argon2"),
            (self.commits, "fsync"),
            (self.round_trips, "HTTP"),
            (self.lean_round_trips, "lean HTTP"),
        )
        return ", ".join(f"{number:g} {name}" for number, name in parts if number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A rate beside its floor. Durations are in milliseconds; `cpu_milliseconds` is the gateway's own, if known."""

    name: str
    database: str
    clients: int
    count: int
    failures: int
    per_second: float
    median_milliseconds: float
    slow_milliseconds: float
    """The duration that 95 of 100 did not exceed."""
    slowest_milliseconds: float
    """The duration that 99 of 100 did not exceed."""
    floor_per_second: float
    floor_of: str
    load_average: float
    """The machine's, over the last minute, when this was measured."""
    cpu_milliseconds: float | None = None
    cpu_floor_milliseconds: float | None = None
    note: str = ""
    """What the numbers alone do not say, in a few words."""

    @property
    def ratio(self) -> float:
        """How much of what the machine can do at all is reached: 1 would be the floor itself."""
        return self.per_second / self.floor_per_second


def figure(
    name: str,
    measured: Measured,
    *,
    database: str,
    clients: int,
    floor_per_second: float,
    floor_of: str,
    count: int | None = None,
    cpu_milliseconds: float | None = None,
    cpu_floor_milliseconds: float | None = None,
) -> Figure:
    """Put a measurement beside its floor. `count`, if given, is how many were done in what was timed as fewer steps."""
    count = len(measured.durations) if count is None else count
    return Figure(
        name=name,
        database=database,
        clients=clients,
        count=count,
        failures=measured.failures,
        per_second=count / measured.seconds,
        median_milliseconds=measured.milliseconds(0.5),
        slow_milliseconds=measured.milliseconds(0.95),
        slowest_milliseconds=measured.milliseconds(0.99),
        floor_per_second=floor_per_second,
        floor_of=floor_of,
        load_average=round(os.getloadavg()[0], 2),
        cpu_milliseconds=cpu_milliseconds,
        cpu_floor_milliseconds=cpu_floor_milliseconds,
    )
