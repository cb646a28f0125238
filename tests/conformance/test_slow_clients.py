"""Clients who never finish, or never hang up, take nothing from anybody else; what they sent stays out of our logs."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
import requests

from gateway.punctual import RECEIVE_SECONDS, without_request_lines
from tests.kit.world import World

pytestmark = pytest.mark.any_database

HEAD = b"POST /token HTTP/1.1\r\nHost: localhost\r\n"
HALF_SENT = {
    "half a head": HEAD + b"X-Slow: ",
    "half a body": HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 999\r\n\r\ngrant_type=",
    "half a chunk": HEAD
    + b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ngrant_type=",
}


@contextmanager
def connections(world: World, *, count: int, sending: bytes) -> Iterator[list[socket.socket]]:
    parts = urlsplit(world.issuer)
    assert parts.port is not None
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", parts.port), timeout=30)) for _ in range(count)
        ]
        for connection in opened:
            connection.sendall(sending)
        yield opened


def seconds_to_an_answer(world: World) -> float:
    began = time.monotonic()
    assert requests.get(f"{world.issuer}/healthz", timeout=30, headers={"Connection": "close"}).status_code == 200
    return time.monotonic() - began


def seconds_until_cut_off(connection: socket.socket) -> float:
    began = time.monotonic()
    while time.monotonic() - began < 3 * RECEIVE_SECONDS:
        try:
            connection.sendall(b"x")
        except OSError:
            break
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.mark.parametrize("sending", HALF_SENT.values(), ids=HALF_SENT.keys())
def test_half_sent_requests_hold_no_thread_for_ever(world: World, sending: bytes) -> None:
    threads = world.settings.workers * world.settings.threads
    with connections(world, count=threads, sending=sending):
        # However unevenly the workers took them, two rounds of waiting see the last of them off.
        assert seconds_to_an_answer(world) < 2 * RECEIVE_SECONDS + 3


def test_a_request_that_drips_has_no_more_time_than_one_that_stops(world: World) -> None:
    with connections(world, count=1, sending=HALF_SENT["half a head"]) as [connection]:
        assert seconds_until_cut_off(connection) < RECEIVE_SECONDS + 3


def test_clients_who_do_not_hang_up_delay_nobody(world: World) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connections(world, count=20, sending=request) as opened:
        assert all(connection.recv(9) == b"HTTP/1.1 " for connection in opened)
        assert max(seconds_to_an_answer(world) for _ in range(4)) < 1


def test_the_server_s_own_log_holds_no_request_lines() -> None:
    for message, args in (
        ("Invalid request from ip=127.0.0.1: Invalid HTTP request line: 'GET /authorize/continue?ticket=secret'", ()),
        ("Error handling request %s %s", ("GET", "/callback?code=secret")),
    ):
        record = logging.LogRecord("gunicorn.error", logging.WARNING, "", 0, message, args, None)
        assert without_request_lines(record)
        assert "secret" not in record.getMessage()
