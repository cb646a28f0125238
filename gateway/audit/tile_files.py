"""The published log as files below one directory: `checkpoint`, and `tile/…` as C2SP tlog-tiles lays it out.

Every file but `checkpoint` is written once and never changes. A file appears whole or not at all.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.errors import LogUnreadable, NoSuchLogFile
from gateway.wire.errors import InvalidTree
from gateway.wire.tiles import TILE_WIDTH, Tile, entries_path, tile_path

CHECKPOINT = "checkpoint"

_PATH = re.compile(r"(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The entries beside the level 0 tile of the same index and width."""

    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where the bundle is served, below the log's prefix."""
        return entries_path(self.index, self.width)


def parse_tile_path(path: str) -> Tile | Bundle:
    """Read what follows `tile/` in an address; raises `NoSuchLogFile` unless it is exactly as tlog-tiles writes it.

    Nothing of the given text survives: a file is found by the numbers read from it.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise NoSuchLogFile
    kind, digits, partial = found.groups()
    index = int(digits.replace("/", "").replace("x", ""))
    width = TILE_WIDTH if partial is None else int(partial)
    try:
        # A bundle is as wide as the tile beside it, so this refuses impossible widths of both.
        tile = Tile(level=0 if kind == "entries" else int(kind), index=index, width=width)
    except InvalidTree as error:
        raise NoSuchLogFile from error
    named = Bundle(index=index, width=width) if kind == "entries" else tile
    if named.path != f"tile/{path}":
        # One file, one address: no leading zeroes, no partial tile of full width.
        raise NoSuchLogFile
    return named


def full_path(path: str) -> str:
    """Return the path of the full tile or bundle that a partial one grows into; a full one's own path."""
    return path.partition(".p/")[0]


@dataclass(slots=True, kw_only=True)
class TileFiles:
    """The files of one log. Everything written is on disk only after `settle`."""

    directory: Path
    _unsettled: set[Path] = field(default_factory=set)

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or None when there is no such file."""
        try:
            return (self.directory / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_tile(self, tile: Tile) -> bytes:
        """Return a tile's hashes, from the full tile where the partial one is gone; raises `LogUnreadable`."""
        data = self.read(tile.path)
        if data is None:
            data = self.read(tile_path(tile.level, tile.index))
        if data is None:
            raise LogUnreadable(f"{tile.path} is missing")
        return data

    def write_once(self, path: str, data: bytes) -> bytes | None:
        """Write a file that will never change; returns the other bytes it holds already, untouched, or None."""
        existing = self.read(path)
        if existing is None:
            self._replace(path, data)
        elif existing != data:
            return existing
        # Also for a file that was there: the crash that brought us back may have come before its directory was safe.
        self._remember(path)
        return None

    def write_checkpoint(self, note: bytes) -> None:
        """Replace the published checkpoint, durably; everything it covers must be settled before."""
        self._replace(CHECKPOINT, note)
        self._remember(CHECKPOINT)
        self.settle()

    def settle(self) -> None:
        """Make every name written since the last time durable."""
        for directory in sorted(self._unsettled, reverse=True):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._unsettled.clear()

    def drop_partials(self, full: Iterable[str]) -> None:
        """Delete the partial forms of full files, as tlog-tiles allows; readers fall back to the full ones."""
        for path in full:
            shutil.rmtree(self.directory / f"{path}.p", ignore_errors=True)

    def _replace(self, path: str, data: bytes) -> None:
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}.new")
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(target)
        except BaseException:
            # On a full disk every attempt would leave another one behind.
            unfinished.unlink(missing_ok=True)
            raise

    def _remember(self, path: str) -> None:
        parent = (self.directory / path).parent
        while parent != self.directory.parent:
            self._unsettled.add(parent)
            parent = parent.parent
