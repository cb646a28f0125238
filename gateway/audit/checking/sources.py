"""Where a log is read from: its own files, or its address on the web. What is read is never trusted, only checked."""

import json
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import ProxyManager
from urllib3.util import Timeout

from gateway.audit.errors import LogUnreadable
from gateway.audit.tile_files import full_path
from gateway.outgoing.http_client import TimedHttpPool, TimedHttpsPool
from gateway.wire.tiles import MAX_ENTRY_BYTES, TILE_WIDTH

MAX_FILE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
"""The largest entry bundle there can be; every other file is far smaller."""

RANGE_FILE = "range.json"
"""In an archive folder: which entries it holds, `{"format": …, "first": a, "end": b}`, which are a to b - 1."""
RANGE_FORMAT = "gateway-log-range/1"

_SECONDS = 30.0  # for one file, whole
_CONNECT_SECONDS = 5.0
_CHUNK = 65_536
_AT_ONCE = 8  # requests under way to one log
_TIMED_POOLS = {"http": TimedHttpPool, "https": TimedHttpsPool}
_AHEAD = 16  # files read before they are asked for, over the web


class LogSource(Protocol):
    """Reads the files of a log by their tlog-tiles path."""

    def read(self, path: str) -> bytes | None:
        """Return the file's bytes, or None when there is no such file; raises `LogUnreadable` for any other failure."""
        ...


class FileSource:
    """A log's files below a directory, whoever filled it: only ordinary files are read, and bounded in size."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, path: str) -> bytes | None:
        """Return the file's bytes, or None."""
        try:
            return _content(f"{self._directory}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LogUnreadable(f"{path} cannot be read", detail=str(error)) from error


def _content(path: str) -> bytes:
    # Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
            raise OSError("no ordinary file, or larger than any file of a log")
        return file.read()


class HttpSource:
    """A log served over HTTP, below `url`. Bounded in size and time; redirects are not followed.

    `ca_file` are the trust anchors for https, instead of the system's. Connections are kept; threads may share it.
    """

    def __init__(self, url: str, *, ca_file: Path | None = None, seconds: float = _SECONDS) -> None:
        """Take how many seconds one file may take, whole; raises `LogUnreadable` for what is no such address."""
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise LogUnreadable("a log's address is an http or https URL")
        self._prefix = url.rstrip("/")
        self._seconds = seconds
        self._threads = threading.local()
        # Said with every request: an authority named by the environment would win over the session's.
        self._verify = str(ca_file) if ca_file else True

    def read(self, path: str) -> bytes | None:
        """Return the file's bytes, decompressed, or None when the server answers 404."""
        deadline = time.monotonic() + self._seconds
        timeout = Timeout(connect=_CONNECT_SECONDS, total=self._seconds)
        try:
            with self._session().get(
                f"{self._prefix}/{path}",
                timeout=timeout,  # type: ignore[arg-type]  # requests passes urllib3's own kind on
                stream=True,
                allow_redirects=False,
                verify=self._verify,
            ) as answer:
                if answer.status_code == requests.codes.not_found:
                    return None
                if answer.status_code != requests.codes.ok:
                    raise LogUnreadable(f"{path}: the server answered {answer.status_code}")
                return _bounded(answer, path, deadline)
        except (requests.RequestException, OSError) as error:
            raise LogUnreadable(f"{path}: the server did not answer", detail=type(error).__name__) from error

    def _session(self) -> requests.Session:
        # A session is no thread's but its own.
        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
            for scheme in ("http://", "https://"):
                self._threads.session.mount(scheme, _TimedAdapter())
        session: requests.Session = self._threads.session
        return session


class _TimedAdapter(HTTPAdapter):
    """Cuts an answer off when its time is over: a server that sends a byte now and then would keep us for days."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _TIMED_POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _TIMED_POOLS
        return manager


def _bounded(answer: requests.Response, path: str, deadline: float) -> bytes:
    data = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        data += chunk
        if len(data) > MAX_FILE_BYTES:
            raise LogUnreadable(f"{path} is larger than any file of a log")
        if time.monotonic() > deadline:
            raise LogUnreadable(f"{path} took too long")
    return bytes(data)


def source_of(location: str, *, ca_file: Path | None = None) -> LogSource:
    """Return the source for a directory or an http(s) URL, as people write it on a command line."""
    return HttpSource(location, ca_file=ca_file) if "://" in location else FileSource(Path(location))


def read_grown(source: LogSource, path: str) -> bytes | None:
    """Read a file, or the full one that has grown from a partial one that is gone (C2SP tlog-tiles, partial tiles)."""
    data = source.read(path)
    return source.read(full_path(path)) if data is None and full_path(path) != path else data


def read_ahead(source: LogSource, paths: Iterable[str]) -> Iterator[Callable[[], bytes | None]]:
    """Yield for each path, in order, a function that gives what `read_grown` would; over the web several are under way.

    At most 16 files are held in memory before they are asked for.
    """
    if not isinstance(source, HttpSource):
        for path in paths:
            yield _reader(source, path)
        return
    remaining = iter(paths)
    workers = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="log-reader")
    try:
        asked: deque[Future[bytes | None]] = deque()
        for path in islice(remaining, _AHEAD):
            asked.append(workers.submit(read_grown, source, path))
        while asked:
            yield asked.popleft().result
            for path in islice(remaining, 1):
                asked.append(workers.submit(read_grown, source, path))
    finally:
        workers.shutdown(cancel_futures=True)


def _reader(source: LogSource, path: str) -> Callable[[], bytes | None]:
    return lambda: read_grown(source, path)


def find_archived_range(source: LogSource) -> tuple[int, int] | None:
    """Return the range [first, end) of entries that an archive folder says it holds, or None where it says nothing.

    Raises `LogUnreadable` for a `range.json` that is none.
    """
    data = source.read(RANGE_FILE)
    if data is None:
        return None
    try:
        members = json.loads(data)
        first, end = members["first"], members["end"]
        known = members["format"] == RANGE_FORMAT
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LogUnreadable(f"{RANGE_FILE} does not say which entries are here") from error
    if not known or type(first) is not int or type(end) is not int or not 0 <= first < end:
        raise LogUnreadable(f"{RANGE_FILE} does not say which entries are here")
    return first, end
