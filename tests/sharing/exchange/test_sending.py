"""Who receives a document too slowly is not waited for."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from gateway.sharing.exchange.views import LEAST_BYTES_A_SECOND, _sent_until, sending_seconds

PIECE = b"x" * 65_536


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def send(ours: socket.socket, *, pieces: int, ends: float, after_each: Callable[[], object] = lambda: None) -> None:
    """As gunicorn does: each piece is sent whole before the next is asked for."""
    environ = {"gunicorn.socket": ours}
    with Flask("test").test_request_context(environ_overrides=environ):
        sent = _sent_until(ends, iter([PIECE] * pieces))
    for piece in sent:
        ours.sendall(piece)
        after_each()


def test_a_client_that_reads_nothing_is_given_up_in_time(connection: tuple[socket.socket, socket.socket]) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        send(connection[0], pieces=1000, ends=began + 0.3)
    assert time.monotonic() - began >= 0.2


def test_a_client_that_reads_a_little_now_and_then_has_no_more_time(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = connection
    with pytest.raises(TimeoutError):
        send(ours, pieces=1000, ends=time.monotonic() + 0.3, after_each=lambda: theirs.recv(1000))


def test_what_fits_into_the_time_is_sent(connection: tuple[socket.socket, socket.socket]) -> None:
    send(connection[0], pieces=1, ends=time.monotonic() + 30)
    assert connection[1].recv(100) == b"x" * 100


def test_a_larger_document_has_more_time() -> None:
    assert sending_seconds(0) == 10
    assert sending_seconds(10 * LEAST_BYTES_A_SECOND) == 20
