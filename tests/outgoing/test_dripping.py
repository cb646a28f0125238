"""A server that spends its time in drips, in whatever part of the answer, gets no more of ours than was given."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.audit.checking.sources import HttpSource
from gateway.audit.errors import LogUnreadable
from gateway.outgoing.http_client import HttpClient, TooSlow, Unreachable
from tests.kit.tls import TestAuthority

GIVEN_SECONDS = 0.5


@contextmanager
def dripping(
    at_once: bytes, drip: bytes, *, every: float = 0.1, drips: int = 60, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server on loopback that sends something at once and then a drip now and then; its address."""
    stop = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with tls.wrap_socket(accepted, server_side=True) if tls else accepted as connection:
                connection.recv(65536)
                try:
                    connection.sendall(at_once)
                    for _ in range(drips):
                        if stop.wait(every):
                            return
                        connection.sendall(drip)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


in_any_part = pytest.mark.parametrize(
    ("at_once", "drip"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
        (b"HTTP/1.1 200 OK\r\n", b"X-More: a\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    ],
    ids=[
        "in the status line",
        "in one header",
        "header by header",
        "in interim answers",
        "in the body",
        "in the size of a chunk",
        "in the extension of a chunk",
        "in a body without an end",
    ],
)


@in_any_part
def test_an_answer_that_drips_is_cut_off_in_time(at_once: bytes, drip: bytes) -> None:
    with dripping(at_once, drip) as address:
        client = HttpClient(allow_loopback=(address,), allow_plain_http=True)
        began = time.monotonic()
        with pytest.raises(TooSlow):
            client.request("GET", f"http://{address}/", headers={}, timeout_seconds=GIVEN_SECONDS, max_bytes=10_000)
        assert time.monotonic() - began < GIVEN_SECONDS + 1


@in_any_part
def test_a_log_that_drips_keeps_no_outsider_from_raising_the_alarm(at_once: bytes, drip: bytes) -> None:
    with dripping(at_once, drip) as address:
        source = HttpSource(f"http://{address}", seconds=GIVEN_SECONDS)
        began = time.monotonic()
        with pytest.raises(LogUnreadable):
            source.read("checkpoint")
        assert time.monotonic() - began < GIVEN_SECONDS + 1


def test_a_connection_that_breaks_is_not_called_slow() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", b"", drips=0) as address:
        client = HttpClient(allow_loopback=(address,), allow_plain_http=True)
        with pytest.raises(Unreachable):
            client.request("GET", f"http://{address}/", headers={}, timeout_seconds=5, max_bytes=10_000)


def test_an_answer_in_time_is_whole() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"c", drips=1) as address:
        client = HttpClient(allow_loopback=(address,), allow_plain_http=True)
        answer = client.request("GET", f"http://{address}/", headers={}, timeout_seconds=5, max_bytes=10_000)
    assert (answer.status, answer.body) == (200, b"abc")


def test_under_tls_it_is_the_same(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    issued = authority.issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(issued.certificate, issued.key)
    with dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a", tls=tls) as address:
        client = HttpClient(allow_loopback=(address,), ca_file=authority.ca_file)
        began = time.monotonic()
        with pytest.raises(TooSlow):
            client.request("GET", f"https://{address}/", headers={}, timeout_seconds=GIVEN_SECONDS, max_bytes=10_000)
        assert time.monotonic() - began < GIVEN_SECONDS + 1
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", b"c", drips=1, tls=tls) as address:
        client = HttpClient(allow_loopback=(address,), ca_file=authority.ca_file)
        answer = client.request("GET", f"https://{address}/", headers={}, timeout_seconds=5, max_bytes=10_000)
    assert (answer.status, answer.body) == (200, b"abc")
