"""The log on the web, open to everybody: `GET /log/checkpoint` and `GET /log/tile/…`, as C2SP tlog-tiles says."""

import gzip
from pathlib import Path

from flask import Blueprint, Response, request

from gateway.audit.errors import NoSuchLogFile
from gateway.audit.tile_files import CHECKPOINT, Bundle, TileFiles, parse_tile_path

# The checkpoint changes within seconds; what it refers to never changes.
_CHECKPOINT_CACHING = "no-store"
_TILE_CACHING = "public, max-age=31536000, immutable"


def blueprint(log_dir: Path) -> Blueprint:
    """Return the log's blueprint over the files the sequencer publishes; it writes nothing and asks no database."""
    routes = Blueprint("log", __name__, url_prefix="/log")
    files = TileFiles(directory=log_dir)

    @routes.get("/checkpoint")
    def checkpoint() -> Response:
        note = _found(files.read(CHECKPOINT))
        answer = Response(note, content_type="text/plain; charset=utf-8")
        answer.headers["Cache-Control"] = _CHECKPOINT_CACHING
        return answer

    @routes.get("/tile/<path:path>", merge_slashes=False)
    def tile(path: str) -> Response:
        named = parse_tile_path(path)
        data = _found(files.read(named.path))
        answer = _compressed(data) if isinstance(named, Bundle) else Response(data)
        answer.content_type = "application/octet-stream"
        answer.headers["Cache-Control"] = _TILE_CACHING
        return answer

    return routes


def _found(data: bytes | None) -> bytes:
    if data is None:
        raise NoSuchLogFile
    return data


def _compressed(data: bytes) -> Response:
    # tlog-tiles: bundles should be compressed at the HTTP layer; hashes do not compress.
    accepted = request.accept_encodings.quality("gzip") > 0
    answer = Response(gzip.compress(data, compresslevel=3, mtime=0) if accepted else data)
    answer.vary.add("Accept-Encoding")
    if accepted:
        answer.content_encoding = "gzip"
    return answer
