"""The published log, copied as it stood under one checkpoint: whatever is published meanwhile is left out.

Tiles and bundles are written once and never change; partial ones may be dropped when their full form is there. So a
copy needs no lock: a partial form that is gone is cut from the full one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.audit.checking.sources import FileSource
from gateway.audit.checking.verify import VerifiedLog, verify_log
from gateway.audit.errors import LogUnreadable
from gateway.audit.tile_files import CHECKPOINT, TileFiles
from gateway.wire.merkle import HASH_BYTES, range_hash
from gateway.wire.notes import Checkpoint, VerifierKey, open_checkpoint
from gateway.wire.tiles import decode_entry_bundle, encode_entry_bundle, entries_path, subtree_hashes, tiles_of

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how far it is, and how far it has to go."""


def published_note(log_dir: Path) -> bytes | None:
    """Return the checkpoint's signed note, or None when nothing was ever published into this folder."""
    return TileFiles(directory=log_dir).read(CHECKPOINT)


def opened(note: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Return what the note states; raises `InvalidNote` unless one of this log's keys signed it."""
    return open_checkpoint(note, keys)


def copy_log(source_dir: Path, target_dir: Path, *, note: bytes, size: int, progress: Progress) -> None:
    """Copy every file that the checkpoint of `size` entries covers, durably, and the checkpoint last.

    Raises `LogUnreadable` when one is missing or too short.
    """
    source, target = TileFiles(directory=source_dir), TileFiles(directory=target_dir)
    target_dir.mkdir(parents=True, exist_ok=True)
    tiles = list(tiles_of(size))
    for number, tile in enumerate(tiles, start=1):
        hashes = source.read_tile(tile)[: tile.width * HASH_BYTES]
        if len(hashes) != tile.width * HASH_BYTES:
            raise LogUnreadable(f"{tile.path} is cut short")
        target.write_once(tile.path, hashes)
        if tile.level == 0:
            target.write_once(entries_path(tile.index, tile.width), _bundle(source, tile.index, tile.width))
        progress("copying the log", number, len(tiles))
    target.settle()
    target.write_checkpoint(note)


def check_log(log_dir: Path, keys: Sequence[VerifierKey], *, progress: Progress) -> VerifiedLog:
    """Verify every entry of the log in this folder; raises `LogNotVerified` or `LogUnreadable`, naming the place."""
    return verify_log(
        FileSource(log_dir),
        vkey=[key.encode() for key in keys],
        progress=lambda done, total: progress("verifying the log", done, total),
    )


def begins_with(log_dir: Path, *, size: int, older: Checkpoint) -> bool:
    """Tell whether the log of `size` entries in this folder begins with everything the older checkpoint covers."""
    hashes = subtree_hashes(size, TileFiles(directory=log_dir).read_tile)
    return range_hash(0, older.size, hashes) == older.root


def _bundle(source: TileFiles, index: int, width: int) -> bytes:
    data = source.read(entries_path(index, width))
    if data is None:
        data = source.read(entries_path(index))
    if data is None:
        raise LogUnreadable(f"{entries_path(index, width)} is missing")
    entries = decode_entry_bundle(data)
    if len(entries) < width:
        raise LogUnreadable(f"{entries_path(index, width)} is cut short")
    return encode_entry_bundle(entries[:width])
