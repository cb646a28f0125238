"""Relying parties that are being written run at any port of a developer's machine; nowhere else is that allowed."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gateway.demo.layout import Certificate, Layout
from gateway.errors import SettingsError
from gateway.outgoing.http_client import AddressForbidden, Answer, HttpClient
from gateway.settings import Settings, load_settings

ANY_PORT = "localhost:*,127.0.0.1:*"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def client_of(settings: Settings) -> HttpClient:
    return HttpClient(
        allow_loopback=settings.outgoing_allow_loopback, allow_plain_http=settings.unsafe_allow_plain_http
    )


def ask(client: HttpClient, url: str) -> Answer:
    return client.request("GET", url, headers={}, timeout_seconds=5, max_bytes=100)


def environment(patch: pytest.MonkeyPatch, **changes: str) -> None:
    sandbox = {
        "ISSUER": "http://localhost:8000",
        "UNSAFE_ALLOW_PLAIN_HTTP": "true",
        "SANDBOX": "true",
        "OUTGOING_ALLOW_LOOPBACK": ANY_PORT,
    }
    for name, value in (sandbox | changes).items():
        patch.setenv(f"GATEWAY_{name}", value)


def test_the_demonstration_calls_what_a_developer_runs(port: int, tmp_path: Path) -> None:
    demonstration = client_of(Layout(state_dir=tmp_path, policies_dir=tmp_path).settings())
    assert ask(demonstration, f"http://localhost:{port}/jwks").status == 204
    assert ask(demonstration, f"http://127.0.0.1:{port}/jwks").status == 204
    for elsewhere in ("http://10.0.0.1:80/", "http://169.254.169.254/latest", "http://localhost.example:80/"):
        with pytest.raises(AddressForbidden):
            ask(demonstration, elsewhere)


def test_a_demonstration_under_tls_does_not(tmp_path: Path) -> None:
    certificate = Certificate(chain=tmp_path, key=tmp_path, authority=tmp_path)
    settings = Layout(state_dir=tmp_path, policies_dir=tmp_path, certificate=certificate).settings()
    assert not [place for place in settings.outgoing_allow_loopback if "*" in place]


def test_a_sandbox_on_this_machine_may_be_told_so(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch)
    assert ask(client_of(load_settings()), f"http://localhost:{port}/").status == 204


@pytest.mark.parametrize(
    "changes",
    [
        {"SANDBOX": "false"},
        {"ISSUER": "https://gateway.example"},
        {"ISSUER": "https://localhost:8000"},
        {"OUTGOING_ALLOW_LOOPBACK": "10.0.0.1:*"},
        {"OUTGOING_ALLOW_LOOPBACK": "*:*"},
        {"OUTGOING_ALLOW_LOOPBACK": "*:443"},
        {"OUTGOING_ALLOW_LOOPBACK": "localhost"},
        {"OUTGOING_ALLOW_LOOPBACK": "localhost:"},
    ],
)
def test_nobody_else_is_allowed_every_port(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]) -> None:
    environment(monkeypatch, **changes)
    with pytest.raises(SettingsError, match="GATEWAY_OUTGOING_ALLOW_LOOPBACK"):
        load_settings()


def test_who_is_not_allowed_hears_which_setting_would(port: int) -> None:
    for url in (f"http://localhost:{port}/", f"https://localhost:{port}/"):
        with pytest.raises(AddressForbidden) as refused:
            ask(HttpClient(allow_loopback=(f"localhost:{port + 1}",), allow_plain_http=True), url)
        assert f"GATEWAY_OUTGOING_ALLOW_LOOPBACK does not name localhost:{port}" in (refused.value.detail or "")
        assert "GATEWAY" not in refused.value.public
