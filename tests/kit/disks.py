"""Small disks that can be filled and freed: a tmpfs of some kilobytes or megabytes, and a ballast file on it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


class NoDisk(RuntimeError):
    """A small disk could not be mounted; the message says what is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """A file system of its own at `folder`."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Leave not one free block."""
        with self._ballast.open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, *, kilobytes: int, owner: tuple[int, int] | None = None) -> Iterator[SmallDisk]:
    """Mount an empty disk over `folder`, made if it is missing; `owner` is its user and group id.

    Raises `NoDisk` where mounting is not allowed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        raise NoDisk("tests of full disks mount a tmpfs: run them as root")
    user, group = owner or (os.geteuid(), os.getegid())
    options = f"size={kilobytes}k,mode=0700,uid={user},gid={group}"
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        raise NoDisk(
            f"a tmpfs could not be mounted: {mounted.stderr.strip()}. Tests of full disks need the right to mount: "
            "in a container, the capability SYS_ADMIN"
        )
    try:
        yield SmallDisk(folder=folder)
    finally:
        # Lazily: a process that is still ending may hold a file open.
        subprocess.run(["/usr/bin/umount", "--lazy", str(folder)], check=False, capture_output=True)
