"""A client that costs the machine next to nothing: one kept connection, requests built beforehand, answers barely read.

The gateway and its clients share the processors; whatever a client spends on itself, the gateway lacks.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from gateway.errors import GatewayError

LARGEST = 16 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
FORM = "application/x-www-form-urlencoded"


class ConnectionEnded(GatewayError):
    """The gateway closed the connection, or what came was no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A status and a body; `head` is every header as it was sent."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Return the first header of this name, or nothing."""
        for line in self.head.split(b"\r\n")[1:]:
            found, _, value = line.partition(b":")
            if found.lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return ""


class Connection:
    """One connection, opened again when the other side has closed it between two requests."""

    def __init__(self, origin: str) -> None:
        parts = urlsplit(origin)
        self._address = (parts.hostname or "localhost", parts.port or 80)
        self._host = parts.netloc
        self._socket: socket.socket | None = None

    def built(self, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
        """Return the bytes of a request."""
        named = {"Host": self._host, "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body

    def form(self, path: str, values: dict[str, str], *, headers: dict[str, str] | None = None) -> bytes:
        """Return the bytes of a posted form."""
        body = urlencode(values).encode()
        return self.built("POST", path, headers={"Content-Type": FORM, **(headers or {})}, body=body)

    def send(self, request: bytes) -> Answer:
        """Send a request and read its answer; raises `ConnectionEnded`."""
        kept = self._socket is not None
        try:
            return self._send(request)
        except OSError:
            self.close()
            if not kept:
                raise ConnectionEnded from None
        # An idle connection may be closed by the server at any time: nothing of the request was read then.
        return self._send(request)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, request: bytes) -> Answer:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more(received)
        head, _, body = received.partition(b"\r\n\r\n")
        answer = Answer(status=int(head[9:12]), head=head, body=b"")
        length = int(answer.header("Content-Length") or 0)
        whole = bytearray(body)
        while len(whole) < length:
            whole += self._more(whole)
        if answer.header("Connection").lower() == "close":
            self.close()
        return Answer(status=answer.status, head=head, body=bytes(whole))

    def _more(self, so_far: bytes | bytearray) -> bytes:
        assert self._socket is not None
        more = self._socket.recv(65536)
        if not more:
            raise ConnectionResetError
        if len(so_far) > LARGEST:
            raise ConnectionEnded
        return more


def one_each(origin: str) -> Callable[[], Connection]:
    """Return what gives each thread a connection of its own."""
    kept = threading.local()

    def connection() -> Connection:
        if not hasattr(kept, "connection"):
            kept.connection = Connection(origin)
        found: Connection = kept.connection
        return found

    return connection
