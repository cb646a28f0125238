"""The log's folder itself: what lies there beside the files that the tree vouches for, and who may touch it."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.audit.checking.faults import Fault, FaultKind, Report
from gateway.audit.checking.sources import RANGE_FILE, FileSource, read_grown
from gateway.audit.errors import LogUnreadable, NoSuchLogFile
from gateway.audit.tile_files import CHECKPOINT, Bundle, parse_tile_path
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.tiles import TILE_WIDTH, Tile, entries_path, tile_path

_BESIDE = frozenset({CHECKPOINT, RANGE_FILE})
_LEFTOVER = re.compile(r"\..+\.new")
_OWN = re.compile(r"\.[a-z.-]+")  # locks and notes of the gateway's own, in the top folder
_BITS = 8


def check_folder(directory: Path, *, published: int, numbered: int, report: Report, remark: Report) -> None:
    """Check every file below the log's folder, whose tree has `published` leaves, and `numbered` once all is written.

    Tiles beyond are strays: they would be served though nothing signed covers them. Partial tiles of earlier sizes
    must begin the tile of now. Leftovers of an interrupted write harm nothing: they are told to `remark`.
    """
    source = FileSource(directory)
    for path, name in _files(directory):
        if path.is_symlink() or not path.is_file():
            report(Fault(kind=FaultKind.STRAY, text=f"{name} is no ordinary file"))
        elif _LEFTOVER.fullmatch(path.name):
            remark(Fault(kind=FaultKind.STRAY, text=f"{name} is left over from an interrupted write"))
        elif name in _BESIDE or ("/" not in name and _OWN.fullmatch(name)):
            continue
        else:
            named = _named(name)
            if named is None:
                report(Fault(kind=FaultKind.STRAY, text=f"{name} does not belong to a log"))
            else:
                _check_tile_file(source, named, published=published, numbered=numbered, report=report)
        if path.stat(follow_symlinks=False).st_mode & stat.S_IWOTH:
            report(Fault(kind=FaultKind.PERMISSIONS, text=f"{name} can be written by everybody"))


def check_private(directories: Sequence[Path], *, report: Report) -> None:
    """Check that nobody but their owner can read keys: neither the folders nor any file in them."""
    for directory in directories:
        if not directory.exists():
            continue
        # The folders of the keys shut everybody out: what is in them is only as open as they are.
        for path in (directory, *(path for path, _name in _files(directory))):
            if path.is_symlink() or not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                continue
            report(Fault(kind=FaultKind.PERMISSIONS, text=f"{path} is open to others than its owner"))


def _named(name: str) -> Tile | Bundle | None:
    try:
        return parse_tile_path(name.removeprefix("tile/")) if name.startswith("tile/") else None
    except NoSuchLogFile:
        return None


def _check_tile_file(
    source: FileSource, named: Tile | Bundle, *, published: int, numbered: int, report: Report
) -> None:
    name = named.path
    level = named.level if isinstance(named, Tile) else 0
    index = named.index * int(TILE_WIDTH ** (level + 1))
    if named.index * TILE_WIDTH + named.width > numbered >> (_BITS * level):
        text = f"{name} lies beyond the {numbered} entries of the log"
        report(Fault(kind=FaultKind.STRAY, index=index, text=text))
        return
    try:
        data = source.read(name) or b""
        now = _as_published(source, named, level, published)
    except LogUnreadable as error:
        report(Fault(kind=FaultKind.UNREADABLE, index=index, text=error.public, detail=error.detail))
        return
    if isinstance(named, Tile) and len(data) != named.width * HASH_BYTES:
        text = f"{name} has {len(data)} bytes, not {named.width * HASH_BYTES}"
        report(Fault(kind=FaultKind.TILE, index=index, text=text))
    elif now is not None and not now.startswith(data):
        kind = FaultKind.ENTRY if isinstance(named, Bundle) else FaultKind.TILE
        report(Fault(kind=kind, index=index, text=f"{name} does not begin what it has grown into"))


def _as_published(source: FileSource, named: Tile | Bundle, level: int, published: int) -> bytes | None:
    """Return the tile or bundle that an earlier partial one has grown into, if the tree has it under its checkpoint."""
    width = min(TILE_WIDTH, (published >> (_BITS * level)) - named.index * TILE_WIDTH)
    if named.width >= width:
        return None  # Itself, which the tree has checked, or ahead of the checkpoint.
    grown = entries_path(named.index, width) if isinstance(named, Bundle) else tile_path(level, named.index, width)
    return read_grown(source, grown)


def _files(directory: Path) -> Iterator[tuple[Path, str]]:
    for folder, folders, files in os.walk(directory):
        folders.sort()
        # A folder that is a link is not walked into; it is told of as a file would be.
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in sorted(files + links):
            path = Path(folder) / name
            yield path, path.relative_to(directory).as_posix()
