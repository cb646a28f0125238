"""The ground the other tests stand on: what the kit promises about processes, databases, TLS and the network."""

import http.server
import os
import socket
import ssl
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import requests

from tests.kit.clock import FrozenClock
from tests.kit.postgres import OWNER, Server
from tests.kit.processes import DidNotStart, Processes, free_port, kill, processes
from tests.kit.tls import TestAuthority

PARENT_OF_A_SLEEPER = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie nobody has reaped is not alive."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def is_gone(pid: int, *, within_seconds: float = 5) -> bool:
    """Whether `pid` ends in time: the kernel needs a moment after a signal."""
    deadline = time.monotonic() + within_seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


def test_nothing_leaves_the_machine() -> None:
    with (
        pytest.warns(UserWarning, match="A test tried to use"),
        pytest.raises(RuntimeError, match="A test tried to use"),
        closing(socket.socket()) as outside,
    ):
        outside.connect(("192.0.2.1", 443))


def test_a_process_is_ready_when_it_answers_and_is_gone_with_its_children(tmp_path: Path) -> None:
    port = free_port()
    with processes(tmp_path) as group:
        server = group.start(
            [sys.executable, "-c", PARENT_OF_A_SLEEPER, str(port)],
            env={},
            name="server",
            ready_url=f"http://127.0.0.1:{port}/",
            cwd=tmp_path,
        )
        pids = [server.pid, *(child.pid for child in server.descendants())]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
    assert all(map(is_gone, pids))
    assert "GET / HTTP/1.1" in server.output()


def test_a_process_that_fails_tells_why(server_processes: Processes) -> None:
    with pytest.raises(DidNotStart, match="the port is taken"):
        server_processes.start(
            [sys.executable, "-c", "raise SystemExit('the port is taken')"],
            env={},
            name="failing",
            ready_url=f"http://127.0.0.1:{free_port()}/",
        )


def test_a_process_does_not_inherit_the_testers_settings(
    server_processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_ISSUER", "https://tester.example")
    shown = server_processes.start(
        [sys.executable, "-c", "import os; print(sorted(n for n in os.environ if n.startswith('GATEWAY_')))"],
        env={"GATEWAY_WORKERS": "4"},
        name="environment",
    )
    assert shown.process.wait(10) == 0
    assert shown.output().strip() == "['GATEWAY_WORKERS']"


def test_killing_what_is_already_gone_is_no_error(server_processes: Processes) -> None:
    ended = server_processes.start([sys.executable, "-c", ""], env={}, name="ended")
    ended.process.wait(10)
    kill(ended.pid)


def test_https_on_loopback_is_trusted_only_with_the_test_authority(
    test_authority: TestAuthority,
) -> None:
    issued = test_authority.issue()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://localhost:{server.server_port}/"
        assert requests.get(url, verify=str(test_authority.ca_file), timeout=5).status_code == 501
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(url, timeout=5)
        server.shutdown()


def test_a_frozen_clock_moves_only_when_told() -> None:
    clock = FrozenClock()
    before = clock.now()
    assert clock.now() == before
    clock.advance(seconds=61)
    assert (clock.now() - before).total_seconds() == 61


@pytest.mark.parametrize("durable", [True, False])
def test_a_postgresql_server_is_private_and_leaves_nothing_behind(*, durable: bool) -> None:
    server = Server(durable=durable)
    folder = Path(server.cluster.socket_folder)
    try:
        assert folder.stat().st_mode & 0o077 == 0
        server.cluster.create("one")
        with psycopg.connect(host=str(folder), user=OWNER, dbname="one") as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on" if durable else "off",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            owner = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert owner is not None
            pid = int(owner[0])
            if os.geteuid() == 0:
                assert Path(f"/proc/{pid}").stat().st_uid != 0
    finally:
        server.stop()
    assert is_gone(pid)
    assert not folder.exists()
