"""One guarded HTTP request.

The host is resolved here, every address is judged, and the connection is made to the judged address itself, so that a
name which changes its mind between check and use gains nothing (DNS rebinding). The time given is for the whole of the
answer: every wait on the socket, in whatever part of the answer, is for what is left of it.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as Urllib3Timeout
from urllib3.util import Timeout

from gateway.errors import GatewayError, Kind

CHUNK = 16 * 1024
MOST_SERVERS = 64
"""To how many servers connections are kept: whoever names ever new ones must not use up this process's descriptors."""
SETTING = "GATEWAY_OUTGOING_ALLOW_LOOPBACK"
"""With which an operator allows more addresses."""
ANY_PORT = "*"
MOST_TOLD = 160
MOST_HEAD_BYTES = 64 * 1024
"""Before an answer's body: status line and headers, with all the interim answers before them (RFC 9110 §15.2)."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressForbidden(GatewayError):
    """The address is not one that outgoing calls may reach."""

    kind = Kind.UPSTREAM
    code = "address_forbidden"
    title = "The other system's address is not allowed"


class Unreachable(GatewayError):
    """No connection, a broken one, or TLS that does not hold."""

    kind = Kind.UPSTREAM
    code = "unreachable"
    title = "The other system could not be reached"


class NotReceived(Unreachable):
    """Nobody can have acted on the request: no connection came about, or a kept one was closed without a byte."""


class TooSlow(GatewayError):
    """The answer was not complete in time."""

    kind = Kind.UPSTREAM_TIMEOUT
    code = "too_slow"
    title = "The other system did not answer in time"


class AnswerTooLarge(GatewayError):
    """The answer is larger than it may be; the rest was not read."""

    kind = Kind.UPSTREAM
    code = "answer_too_large"
    title = "The other system's answer is too large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, headers by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedAnswer:
    """As `Answer`, with a body that is read piece by piece, once; reading raises what `HttpClient.request` does."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class HttpClient:
    """Makes guarded requests. Assembles only: connections are made when a request is.

    `allow_loopback` has `host:port`, and in a sandbox `host:*` (`settings` says when).
    """

    def __init__(
        self, *, allow_loopback: tuple[str, ...] = (), ca_file: Path | None = None, allow_plain_http: bool = False
    ) -> None:
        self._allowed = frozenset(allow_loopback)
        self._allow_plain_http = allow_plain_http
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        # By when they were last asked for, longest ago first.
        self._pools: OrderedDict[tuple[str, str, int, str], urllib3.HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_seconds: float,
        max_bytes: int,
    ) -> Answer:
        """Send one request; raises `AddressForbidden`, `Unreachable`, `NotReceived`, `TooSlow` or `AnswerTooLarge`."""
        with self.stream(
            method, url, headers=headers, body=body, timeout_seconds=timeout_seconds, max_bytes=max_bytes
        ) as answer:
            return Answer(status=answer.status, headers=answer.headers, body=b"".join(answer.pieces))

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_seconds: float,
        max_bytes: int,
    ) -> Iterator[StreamedAnswer]:
        """As `request`, for an answer too large to be held: time and size are bounded alike, over the whole of it."""
        pool, host = self._pool_for(url)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with _told_as_ours():
            response = pool.urlopen(
                method,
                target,
                body=body,
                headers={**headers, "Host": host, "Accept-Encoding": "identity"},
                redirect=False,
                retries=False,  # a lost answer may have been a disclosure: only the exchange decides to ask again
                timeout=Timeout(total=timeout_seconds),
                preload_content=False,
            )
        read = False

        def pieces() -> Iterator[bytes]:
            nonlocal read
            length = 0
            while piece := _next_piece(response):
                length += len(piece)
                if length > max_bytes:
                    raise AnswerTooLarge
                yield piece
            read = True

        try:
            yield StreamedAnswer(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                pieces=pieces(),
            )
        finally:
            # A connection on which something is still to come is of no more use.
            if read:
                response.release_conn()
            else:
                response.close()

    def _pool_for(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or parts.password:
            raise AddressForbidden(detail="not a plain http(s) address")
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise AddressForbidden(detail="no such port") from error
        allowed = not self._allowed.isdisjoint({f"{parts.hostname}:{port}", f"{parts.hostname}:{ANY_PORT}"})
        if parts.scheme == "http" and not (allowed and self._allow_plain_http):
            raise AddressForbidden(
                detail=f"plain http, and {SETTING} does not name {parts.hostname}:{port}"[:MOST_TOLD]
            )
        address = _judged_address(parts.hostname, port, allowed=allowed)
        return self._kept_pool((parts.scheme, address, port, parts.hostname)), parts.netloc

    def _kept_pool(self, key: tuple[str, str, int, str]) -> urllib3.HTTPConnectionPool:
        forgotten = None
        with self._lock:
            pool = self._pools.pop(key, None) or self._make_pool(*key)
            self._pools[key] = pool
            if len(self._pools) > MOST_SERVERS:
                _, forgotten = self._pools.popitem(last=False)
        if forgotten is not None:
            # What is under way on its connections is finished; then they are closed too.
            forgotten.close()
        return pool

    def _make_pool(self, scheme: str, address: str, port: int, hostname: str) -> urllib3.HTTPConnectionPool:
        if scheme == "http":
            return TimedHttpPool(address, port, maxsize=16)
        return TimedHttpsPool(
            address,
            port,
            maxsize=16,
            ssl_context=self._tls,
            server_hostname=hostname,
            assert_hostname=hostname,
        )


def _judged_address(host: str, port: int, *, allowed: bool) -> str:
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise Unreachable(detail="the name cannot be resolved") from error
    # One special address among several is enough to refuse: which one is used would be the name server's choice.
    if not allowed and not all(_is_public(address.partition("%")[0]) for address in found):
        told = f"a loopback, private or special address, and {SETTING} does not name {host}:{port}"
        raise AddressForbidden(detail=told[:MOST_TOLD])
    return min(found, key=lambda address: (":" in address, address))


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    # RFC 6052 §3.1: where a network translates, these lead to the IPv4 address at their end.
    if address in _NAT64:
        address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    # `is_global` knows nothing of the old ways to write an IPv4 address into one of IPv6 (RFC 4291 §2.5.5.1, RFC 3056),
    # nor that site-local addresses were once routed (RFC 3879).
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_reserved or address.is_site_local or address.sixtofour is not None
    ):
        return False
    return address.is_global and not address.is_multicast


def _next_piece(response: urllib3.BaseHTTPResponse) -> bytes:
    with _told_as_ours():
        # As it was sent: no coding was asked for, and a few bytes of one can unfold to more than anybody can hold.
        return response.read1(CHUNK, decode_content=False)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """Raise what went wrong on the network as an error of this module."""
    try:
        yield
    except NewConnectionError as error:
        # Though urllib3 counts it among its timeouts: nobody was there to answer.
        raise NotReceived(detail=type(error).__name__) from error
    except Urllib3Timeout as error:
        raise TooSlow(detail=type(error).__name__) from error
    except SSLError as error:
        raise Unreachable(detail="TLS verification failed") from error
    except (HTTPError, OSError) as error:
        raise _named(error) from error


def _named(error: Exception) -> GatewayError:
    # Where urllib3 wraps a cause, the cause tells more.
    cause = error.args[-1] if isinstance(error, ProtocolError) and error.args else error
    if isinstance(cause, _HeadTooLarge):
        return AnswerTooLarge(detail="the head of the answer")
    if isinstance(cause, _ClosedWhileKept):
        return NotReceived(detail="closed while kept")
    return Unreachable(detail=type(error).__name__)


class _HeadTooLarge(http.client.HTTPException):
    """What comes before the answer's body has no end."""


class _ClosedWhileKept(http.client.HTTPException):
    """A connection that had been kept was closed by the other side, which sent nothing in answer to the request."""


class _UntilDeadline(io.RawIOBase):
    """What a socket receives, until a moment on `time.monotonic`'s scale.

    A timeout on the socket bounds each wait; a server that sends a byte before each of them ends would never be done.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        # The socket's own file keeps the socket open for as long as the answer is read.
        self._received = cast("io.RawIOBase", sock.makefile("rb", buffering=0))
        self._deadline = deadline
        self.most: int | None = MOST_HEAD_BYTES
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer dripped")
        if self.most is not None and self.count >= self.most:
            raise _HeadTooLarge
        self._sock.settimeout(left)
        received = self._received.readinto(buffer)
        self.count += received or 0
        return received

    def close(self) -> None:
        self._received.close()
        super().close()


class _TimedAnswer(http.client.HTTPResponse):
    """An answer whose every part arrives before the deadline, or not at all."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, kept: bool, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self._until = _UntilDeadline(sock, deadline)
        self._kept = kept
        self.fp = io.BufferedReader(self._until)

    def begin(self) -> None:
        try:
            super().begin()
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            if self._kept and self._until.count == 0:
                raise _ClosedWhileKept from error
            raise
        self._until.most = None  # the body has a limit of its own


class _Timed:
    """What both kinds of connection know: whether they were used before, and by when an answer must be whole."""

    _used = False

    def connect(self) -> None:
        self._used = False
        super().connect()  # type: ignore[misc]

    def getresponse(self) -> Any:
        # By now the pool has set the connection's timeout to what is left of the whole.
        deadline = time.monotonic() + float(self.timeout or 0)  # type: ignore[attr-defined]
        self.response_class = partial(_TimedAnswer, deadline=deadline, kept=self._used)
        answer = super().getresponse()  # type: ignore[misc]
        self._used = True
        return answer


class _TimedHttp(_Timed, HTTPConnection):  # type: ignore[misc]
    pass


class _TimedHttps(_Timed, HTTPSConnection):  # type: ignore[misc]
    pass


class TimedHttpPool(urllib3.HTTPConnectionPool):
    """Connections over which an answer is whole within `Timeout(total=…)` of its request, or cut off."""

    ConnectionCls = _TimedHttp


class TimedHttpsPool(urllib3.HTTPSConnectionPool):
    """As `TimedHttpPool`, under TLS."""

    ConnectionCls = _TimedHttps
