"""What processes hold in their memory (Linux: /proc/<pid>/maps and /proc/<pid>/mem, proc_pid_mem(5))."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

PIECE = 4 * 1024 * 1024


def with_children(pid: int) -> list[int]:
    """This process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


def holds_in_memory(processes: Sequence[int], needle: bytes) -> bool:
    """Tell whether any writable memory of these processes holds these bytes.

    Raises `PermissionError` where the tests may not look into processes that they started themselves.
    """
    return any(needle in piece for pid in processes for piece in _writable(pid, overlap=len(needle)))


def _writable(pid: int, *, overlap: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            addresses, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(text, 16) for text in addresses.split("-"))
            for place in range(start, end, PIECE):
                with suppress(OSError, ValueError, OverflowError):  # what the kernel maps there and lets nobody read
                    memory.seek(place)
                    yield memory.read(min(PIECE + overlap, end - place))
