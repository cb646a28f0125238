"""The log on the web, open to everybody: `GET /log/checkpoint` and `GET /log/tile/…`, as C2SP tlog-tiles says.

A partial tile is served for every size that was ever published, and for ever: once the full tile has taken its place on
disk, its beginning is the partial one. A file that is not what its name says is not served at all, because whoever got
it could keep it for a year.
"""

import gzip
from pathlib import Path

from flask import Blueprint, Response, request

from gateway.audit.errors import NoSuchLogFile
from gateway.audit.tile_files import CHECKPOINT, Bundle, TileFiles, full_path, parse_tile_path
from gateway.errors import Unavailable
from gateway.wire.errors import InvalidTree
from gateway.wire.merkle import HASH_BYTES
from gateway.wire.tiles import TILE_WIDTH, Tile, decode_entry_bundle, encode_entry_bundle

# The checkpoint changes within seconds; what it refers to never changes.
_CHECKPOINT_CACHING = "no-store"
_TILE_CACHING = "public, max-age=31536000, immutable"


def blueprint(log_dir: Path) -> Blueprint:
    """Return the log's blueprint over the files the sequencer publishes; it writes nothing and asks no database."""
    routes = Blueprint("log", __name__, url_prefix="/log")
    files = TileFiles(directory=log_dir)

    @routes.get("/checkpoint")
    def checkpoint() -> Response:
        note = files.read(CHECKPOINT)
        if note is None:
            raise NoSuchLogFile
        answer = Response(note, content_type="text/plain; charset=utf-8")
        answer.headers["Cache-Control"] = _CHECKPOINT_CACHING
        return answer

    @routes.get("/tile/<path:path>", merge_slashes=False)
    def tile(path: str) -> Response:
        named = parse_tile_path(path)
        data = _part_of(files, named)
        answer = _compressed(data) if isinstance(named, Bundle) else Response(data)
        answer.content_type = "application/octet-stream"
        answer.headers["Cache-Control"] = _TILE_CACHING
        return answer

    return routes


def _part_of(files: TileFiles, named: Tile | Bundle) -> bytes:
    data, width = files.read(named.path), named.width
    if data is None:
        data, width = files.read(full_path(named.path)), TILE_WIDTH
    if data is None:
        raise NoSuchLogFile
    try:
        return _bundle_part(data, named, width) if isinstance(named, Bundle) else _tile_part(data, named, width)
    except InvalidTree as error:
        raise Unavailable(detail=f"{named.path} is damaged: {error.public}") from error


def _tile_part(data: bytes, tile: Tile, width: int) -> bytes:
    if len(data) != width * HASH_BYTES:
        raise InvalidTree("the file is not as long as its tile")
    return data[: tile.width * HASH_BYTES]


def _bundle_part(data: bytes, bundle: Bundle, width: int) -> bytes:
    entries = decode_entry_bundle(data)
    if len(entries) != width:
        raise InvalidTree("the file does not hold as many entries as its bundle")
    return data if width == bundle.width else encode_entry_bundle(entries[: bundle.width])


def _compressed(data: bytes) -> Response:
    # tlog-tiles: bundles should be compressed at the HTTP layer; hashes do not compress.
    accepted = request.accept_encodings.quality("gzip") > 0
    answer = Response(gzip.compress(data, compresslevel=3, mtime=0) if accepted else data)
    answer.vary.add("Accept-Encoding")
    if accepted:
        answer.content_encoding = "gzip"
    return answer
