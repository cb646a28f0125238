"""A client's own web server on loopback: serves what a test puts there, and counts who came."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gateway.outgoing.http_client import HttpClient

JSON = {"Content-Type": "application/json"}


@dataclass(slots=True, kw_only=True)
class Publisher:
    """Answers every GET with `status`, `headers` and `body`, once `gate` is open."""

    address: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    body: bytes = b""
    visits: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def publish(self, value: Any, **headers: str) -> None:
        self.status, self.headers, self.body = 200, {**JSON, **headers}, json.dumps(value).encode()

    def url(self, path: str = "/jwks.json") -> str:
        return f"http://{self.address}{path}"

    def client(self) -> HttpClient:
        """A way out that may reach this server."""
        return HttpClient(allow_loopback=(self.address,), allow_plain_http=True)


@contextmanager
def publishing() -> Iterator[Publisher]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            publisher.visits.append(self.path)
            publisher.gate.wait(10)
            self.send_response(publisher.status)
            for name, value in publisher.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(publisher.body)))
            self.end_headers()
            self.wfile.write(publisher.body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    publisher = Publisher(address=f"127.0.0.1:{server.server_address[1]}")
    publisher.gate.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield publisher
    finally:
        publisher.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
