"""The clock of a whole machine, stepped while its processes run: Debian's libfaketime in them, a patch in this one."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.clock import SystemClock

FAKETIME_PACKAGE = "these tests need libfaketime. Run scripts/system-packages.sh, or install: faketime"


class NoFaketime(RuntimeError):
    """libfaketime is missing; the message says what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineClock:
    """What the clocks of all processes show that were started with `environment`, and this process's `SystemClock`.

    Monotonic clocks run on as they do on a real machine whose clock is set.
    """

    file: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs in its environment to have this clock; raises `NoFaketime`."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # The times of files are not part of it: gunicorn looks at them to see whether its workers live.
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(Path(__file__).with_name("faked")),
        }

    def set_off(self, *, hours: float) -> None:
        """Step every clock, so that it is this far from the true time."""
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(f"{timedelta(hours=hours).total_seconds():+.0f}s\n")
        unfinished.rename(self.file)

    def now(self) -> datetime:
        """What they show."""
        return datetime.now(UTC) + timedelta(seconds=float(self.file.read_text().strip().rstrip("s")))


def machine_clock(file: Path, monkeypatch: pytest.MonkeyPatch) -> MachineClock:
    """A machine's clock that is right until it is stepped; this process has it as long as `monkeypatch` lasts."""
    clock = MachineClock(file=file)
    clock.set_off(hours=0)
    monkeypatch.setattr(SystemClock, "now", lambda _self: clock.now())
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    return clock


def _library() -> Path:
    program = shutil.which("faketime")
    if program is None:
        raise NoFaketime(FAKETIME_PACKAGE)
    # Debian keeps the library in a folder of the machine's kind, which the dynamic linker's own list does not name.
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise NoFaketime(FAKETIME_PACKAGE)
    return found[0]
