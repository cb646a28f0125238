"""How much memory a process takes at most while something happens (Linux: /proc/<pid>/status, proc_pid_status(5))."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TO_THE_PRESENT = "5"
"""Written to /proc/<pid>/clear_refs, it sets the peak of resident memory to what it is (proc_pid_clear_refs(5))."""


@dataclass(slots=True, kw_only=True)
class Grown:
    """By process id, how far resident memory rose above where it was, in bytes; known afterwards."""

    bytes_by_process: dict[int, int] = field(default_factory=dict)

    @property
    def most(self) -> int:
        """Of the process that grew most."""
        return max(self.bytes_by_process.values())


@contextmanager
def watching_memory(processes: Sequence[int]) -> Iterator[Grown]:
    """Watch these processes; raises `OSError` where their peak cannot be set back."""
    before: Mapping[int, int] = {}
    for pid in processes:
        Path(f"/proc/{pid}/clear_refs").write_text(_TO_THE_PRESENT, encoding="ascii")
    before = {pid: _status(pid, "VmRSS") for pid in processes}
    grown = Grown()
    yield grown
    grown.bytes_by_process = {pid: _status(pid, "VmHWM") - before[pid] for pid in processes}


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
