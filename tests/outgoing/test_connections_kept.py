"""Connections are kept to so many servers: whoever has us call ever new names does not use up our descriptors."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Semaphore, Thread
from typing import Any

import pytest

from gateway.outgoing.http_client import MOST_SERVERS, HttpClient

TOO_MANY = 20


class _Server(ThreadingHTTPServer):
    """Keeps connections open for as long as they are wanted."""

    daemon_threads, block_on_close = True, False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.opened, self.closed = Semaphore(0), Semaphore(0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle(self) -> None:
        self.server.opened.release()
        super().handle()
        self.server.closed.release()

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A server of every name there is."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *more, **named: resolve("127.0.0.1", *more, **named))
    with _Server() as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_connections_are_kept_to_the_servers_called_last(server: _Server) -> None:
    names = [f"n{number}.relying.example:{server.server_port}" for number in range(MOST_SERVERS + TOO_MANY)]
    client = HttpClient(allow_loopback=tuple(names), allow_plain_http=True)

    def call(name: str) -> bool:
        """Call a server; tells whether a new connection was made for that."""
        assert client.request("GET", f"http://{name}/", headers={}, timeout_seconds=5, max_bytes=10).status == 204
        return server.opened.acquire(blocking=False)

    for number, name in enumerate(names):
        assert call(name)
        # Called all the time, so never the one that is given up.
        assert not call(names[0]), number
    for _ in range(TOO_MANY):
        assert server.closed.acquire(timeout=10)
    assert not server.closed.acquire(blocking=False)
    assert call(names[1])
