"""A department's server that breaks HTTP itself: one path for each way, from a thread of the tests' own process.

What it answers well, it takes from `HostileProvider`.
"""

import gzip
import json
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import SystemClock
from gateway.wire.contracts import PROVIDER_TAG
from gateway.wire.message_signatures import HttpRequest, HttpResponse, sign_response
from gateway.wire.signer import PrivateKeySigner
from tests.kit.hostile_provider import JSON, HostileProvider

UNFOLDED = 50_000_000
"""Bytes that the bomb would unfold to; it has a thousandth of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it came, and whether the connection had carried others before."""

    path: str
    headers: dict[str, str]
    body: bytes
    kept: bool

    @property
    def question(self) -> dict[str, Any]:
        """What was asked."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass(slots=True, kw_only=True)
class RawProvider:
    """The server; `department` is set before anything is asked of it."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    department: HostileProvider | None = None
    signer: PrivateKeySigner | None = None
    received: list[Received] = field(default_factory=list)
    mended: threading.Event = field(default_factory=threading.Event)
    """Until it is set, `/broken-until-mended` is."""
    signers: dict[str, PrivateKeySigner] = field(default_factory=dict)
    """With what is signed at a path, where it is not the department's own key."""
    _let_go: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))

    @property
    def place(self) -> str:
        """Its `host:port`."""
        return f"localhost:{self.listener.getsockname()[1]}"

    @property
    def address(self) -> str:
        """Where it is called."""
        return f"http://{self.place}"

    def start(self) -> None:
        """Take connections until `stop`."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Take no more, and let go of whoever is held."""
        for held in list(self._let_go.values()):
            held.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def let_go(self, path: str) -> None:
        """Answer whoever is held at this path, and whoever will be."""
        self._let_go[path].set()

    def received_at(self, path: str) -> list[Received]:
        """What came for this path, the oldest first."""
        return [one for one in self.received if one.path == path]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with suppress(OSError), connection, connection.makefile("rb") as reader:
            kept = False
            while (received := _read(reader, kept=kept)) is not None:
                self.received.append(received)
                behave: Callable[[socket.socket, Received], bool] = getattr(
                    self, received.path.strip("/").partition("/")[0].replace("-", "_")
                )
                if not behave(connection, received):
                    return
                kept = True

    # --- Each sends what it sends, and tells whether the connection is kept.

    def good(self, connection: socket.socket, received: Received) -> bool:
        """Answer well."""
        connection.sendall(_as_sent(self._answer(received)))
        return True

    def kept_then_closed(self, connection: socket.socket, received: Received) -> bool:
        """Answer well once a connection; to the next question close it without a word, as if it had been closed."""
        return not received.kept and self.good(connection, received)

    def closes_at_once(self, _connection: socket.socket, _received: Received) -> bool:
        """Take the question and hang up."""
        return False

    def broken_until_mended(self, connection: socket.socket, received: Received) -> bool:
        """A fault of its own, signed, until it is mended."""
        answer = self._answer(received)
        if not self.mended.is_set():
            answer = self._signed(received, HttpResponse(status=500, headers=JSON, body=b"{}"))
        connection.sendall(_as_sent(answer))
        return True

    def held(self, connection: socket.socket, received: Received) -> bool:
        """Hold everybody until the test lets go of them."""
        self._let_go[received.path].wait(30)
        return self.good(connection, received)

    def gzip_bomb(self, connection: socket.socket, received: Received) -> bool:
        """A small body that would unfold to a very large one, signed as it is sent."""
        packed = gzip.compress(bytes(UNFOLDED), compresslevel=6, mtime=0)
        coded = HttpResponse(status=200, headers={**JSON, "Content-Encoding": "gzip"}, body=packed)
        connection.sendall(_as_sent(self._signed(received, coded)))
        return False

    def endless_headers(self, connection: socket.socket, _received: Received) -> bool:
        """One line after the other, never the empty one."""
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: %s\r\n" % (b"a" * 8000))

    def interim_flood(self, connection: socket.socket, _received: Received) -> bool:
        """Interim answers (RFC 9110 §15.2) as fast as they go, never the final one."""
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    def interim_first(self, connection: socket.socket, received: Received) -> bool:
        """One interim answer, and then a good one: that is allowed."""
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + _as_sent(self._answer(received)))
        return True

    def cut_short(self, connection: socket.socket, received: Received) -> bool:
        """Less than its Content-Length says."""
        connection.sendall(_as_sent(self._answer(received))[:-20])
        return False

    def http_1_0(self, connection: socket.socket, received: Received) -> bool:
        """A good answer that ends with its connection (RFC 9112 §6.3)."""
        connection.sendall(_as_sent(self._answer(received), version="1.0", says_length=False))
        return False

    def http_1_0_cut_short(self, connection: socket.socket, received: Received) -> bool:
        """As before, but the connection ends too early: nothing in HTTP itself could tell."""
        connection.sendall(_as_sent(self._answer(received), version="1.0", says_length=False)[:-20])
        return False

    def not_http(self, connection: socket.socket, _received: Received) -> bool:
        """Another protocol."""
        connection.sendall(b"SSH-2.0-Specimen\r\n")
        return False

    def signed_by_the_council(self, connection: socket.socket, received: Received) -> bool:
        """A good answer, signed with a key that is registered: another member's."""
        assert self.signer is not None
        connection.sendall(_as_sent(self._signed(received, self._unsigned(received), signer=self.signer)))
        return True

    def _unsigned(self, received: Received) -> HttpResponse:
        assert self.department is not None
        department = copy(self.department)
        department.signer = self.signers.get(received.path, department.signer)
        return department.good(received.question)

    def _answer(self, received: Received) -> HttpResponse:
        return self._signed(received, self._unsigned(received))

    def _signed(
        self, received: Received, answer: HttpResponse, *, signer: PrivateKeySigner | None = None
    ) -> HttpResponse:
        assert self.department is not None
        request = HttpRequest(
            method="POST", target_uri=self.address + received.path, headers=received.headers, body=received.body
        )
        signer = signer or self.signers.get(received.path, self.department.signer)
        return sign_response(answer, request=request, signer=signer, created=SystemClock().now(), tag=PROVIDER_TAG)


def _read(reader: Any, *, kept: bool) -> Received | None:
    if not reader.peek(1)[:1].isalpha():
        return None  # nothing more, or TLS (RFC 8446 §5.1: its first byte is 22), which is not spoken here
    line = reader.readline()
    headers: dict[str, str] = {}
    while (header := reader.readline().strip()) != b"":
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.strip()] = value.strip()
    length = next(int(value) for name, value in headers.items() if name.lower() == "content-length")
    return Received(path=line.split()[1].decode(), headers=headers, body=reader.read(length), kept=kept)


def _as_sent(answer: HttpResponse, *, version: str = "1.1", says_length: bool = True) -> bytes:
    headers = dict(answer.headers) | ({"Content-Length": str(len(answer.body))} if says_length else {})
    lines = [f"HTTP/{version} {answer.status} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + answer.body
