"""Which requests nobody can have acted on, and heads of answers that have no end."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from gateway.errors import GatewayError
from gateway.outgoing.http_client import AnswerTooLarge, HttpClient, NotReceived, Unreachable
from tests.kit.processes import free_port

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Serve = Callable[[socket.socket], None]


@contextmanager
def serving(*connections: Serve) -> Iterator[str]:
    """A server that treats its first connections so, one after the other; its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def run() -> None:
            for serve in connections:
                accepted, _ = listener.accept()
                with suppress(OSError), accepted:
                    serve(accepted)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


def client_of(address: str) -> HttpClient:
    return HttpClient(allow_loopback=(address,), allow_plain_http=True)


def ask(client: HttpClient, address: str) -> bytes:
    return client.request(
        "POST", f"http://{address}/", headers={}, body=b"{}", timeout_seconds=5, max_bytes=10_000
    ).body


def receive(connection: socket.socket) -> None:
    """One request: head and body may come apart."""
    received = b""
    while not received.endswith(b"{}"):
        part = connection.recv(65536)
        assert part
        received += part


def answers_then(last: bytes) -> Serve:
    """Answer once; to the second request on the same connection send only `last`, and close."""

    def serve(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(ANSWER)
        receive(connection)
        connection.sendall(last)

    return serve


def test_a_port_where_nobody_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(NotReceived):
        ask(client_of(address), address)


def test_a_kept_connection_that_is_closed_without_a_byte() -> None:
    with serving(answers_then(b"")) as address:
        client = client_of(address)
        assert ask(client, address) == b"{}"
        with pytest.raises(NotReceived):
            ask(client, address)


@pytest.mark.parametrize("last", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"], ids=["a byte", "a part"])
def test_a_kept_connection_on_which_an_answer_had_begun(last: bytes) -> None:
    with serving(answers_then(last)) as address:
        client = client_of(address)
        assert ask(client, address) == b"{}"
        with pytest.raises(Unreachable) as raised:
            ask(client, address)
    assert not isinstance(raised.value, NotReceived), "whoever answers has the request"


def test_a_new_connection_that_is_closed_without_a_byte() -> None:
    with serving(receive) as address, pytest.raises(Unreachable) as raised:
        ask(client_of(address), address)
    assert not isinstance(raised.value, NotReceived), "it had the request before it closed"


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.1 100 Continue\r\n\r\n", b"X: a\r\n", b"X: " + b"a" * 60_000 + b"\r\n"],
    ids=["100", "short", "long"],
)
def test_a_head_without_an_end_is_not_read_for_long(line: bytes) -> None:
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65536)
        if not line.startswith(b"HTTP"):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while sent < 50_000_000:
            connection.sendall(line)
            sent += len(line)

    with serving(flood) as address, pytest.raises(GatewayError) as raised:
        ask(client_of(address), address)
    # More than a hundred headers are refused for their number already.
    assert isinstance(raised.value, AnswerTooLarge) or line == b"X: a\r\n"
    assert sent < 20_000_000
