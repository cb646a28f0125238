"""The log on the web: what tlog-tiles promises, and nothing else."""

import gzip
import shutil
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from gateway.audit import views
from gateway.audit.checking.sources import HttpSource
from gateway.audit.checking.verify import verify_log
from gateway.audit.errors import LogUnreadable
from gateway.web.problems import install_problems
from tests.kit.log import TestLog, assert_log_verifies


@pytest.fixture
def app(log: TestLog) -> Flask:
    app = Flask(__name__)
    install_problems(app)
    app.register_blueprint(views.blueprint(log.files))
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/log"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_checkpoint_is_text_that_nobody_keeps(log: TestLog, client: FlaskClient) -> None:
    log.record(3)
    log.publish()
    answer = client.get("/log/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.data == (log.files / "checkpoint").read_bytes()


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000"])
def test_tiles_are_bytes_that_everybody_may_keep(log: TestLog, client: FlaskClient, name: str) -> None:
    log.record(300)
    log.publish()
    answer = client.get(f"/log/{name}")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.data == (log.files / name).read_bytes()


def test_bundles_are_compressed_for_those_who_ask(log: TestLog, client: FlaskClient) -> None:
    log.record(300)
    log.publish()
    plain = (log.files / "tile/entries/000").read_bytes()
    answer = client.get("/log/tile/entries/000", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(answer.data) == plain
    assert len(answer.data) < len(plain) / 2
    refused = client.get("/log/tile/entries/000", headers={"Accept-Encoding": "gzip;q=0"})
    assert refused.data == plain


def test_what_the_log_serves_can_be_asked_for_without_its_bytes(log: TestLog, client: FlaskClient) -> None:
    log.record(300)
    log.publish()
    for name in ("checkpoint", "tile/0/000", "tile/1/000.p/1", "tile/entries/001.p/44"):
        got, asked = client.get(f"/log/{name}"), client.head(f"/log/{name}")
        assert (asked.status_code, asked.data) == (200, b"")
        for header in ("Content-Type", "Content-Length", "Cache-Control"):
            assert asked.headers[header] == got.headers[header]
    assert client.head("/log/tile/0/009").status_code == 404


def test_a_partial_tile_that_was_published_is_served_for_ever(log: TestLog, client: FlaskClient) -> None:
    kept: dict[str, bytes] = {}
    for more in (3, 40, 200, 20, 300):
        log.record(more)
        log.publish()
        size = len(log.assert_verifies())
        # Whoever holds the checkpoint of this size may ask for these at any time.
        for name in (f"tile/0/{size // 256:03d}.p/{size % 256}", f"tile/entries/{size // 256:03d}.p/{size % 256}"):
            kept[name] = client.get(f"/log/{name}").data
        if size >= 256:
            kept[f"tile/1/000.p/{size // 256}"] = client.get(f"/log/tile/1/000.p/{size // 256}").data
    for partials in ("tile/0/000.p", "tile/entries/000.p", "tile/0/001.p", "tile/entries/001.p"):
        shutil.rmtree(log.files / partials, ignore_errors=True)  # only the full ones are on disk
    for name, data in kept.items():
        answer = client.get(f"/log/{name}")
        assert (answer.status_code, answer.data) == (200, data), name
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["tile/0/000", "tile/entries/000", "tile/0/001.p/44", "tile/entries/001.p/44"])
def test_a_damaged_file_is_not_given_to_anybody_to_keep(log: TestLog, client: FlaskClient, name: str) -> None:
    log.record(300)
    log.publish()
    path = log.files / name
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], whole + whole[:32]):
        path.write_bytes(damaged)
        answer = client.get(f"/log/{name}")
        assert answer.status_code == 503
        assert "immutable" not in answer.headers.get("Cache-Control", "")


@pytest.mark.parametrize(
    "path",
    [
        "/log/",
        "/log/.sequencer.lock",
        "/log/checkpoint/",
        "/log/tile/0/000/..",
        "/log/tile/../checkpoint",
        "/log/tile/0/../../checkpoint",
        "/log/tile/%2e%2e/checkpoint",
        "/log/tile/..%2f..%2fsecret",
        "/log/tile/0/..%2f..%2f..%2fsecret",
        "/log/tile//etc/passwd",
        "/log/tile/0/%2fetc%2fpasswd",
        "/log/tile/0/000%00",
        "/log/tile/0/000%0a",
        "/log/tile/0/\u0660\u0660\u0660",
        "/log/tile/00/000",
        "/log/tile/0/0",
        "/log/tile/0/0000",
        "/log/tile/0/x000/000",
        "/log/tile/0/001.p/43",
        "/log/tile/0/001.p/45",
        "/log/tile/entries/001.p/45",
        "/log/tile/0/000.p/0",
        "/log/tile/0/000.p/044",
        "/log/tile/0/000.p/256",
        "/log/tile/0/000.p/-1",
        "/log/tile/64/000",
        "/log/tile/-1/000",
        "/log/tile/0/001",
        "/log/tile/2/000",
        "/log/tile/entries",
        "/log/tile/entries/002",
        "/log/tile/x/000",
        "/log/tile/0/x999/x999/x999/x999/x999/999",
        "/log/tile/0/" + "x001/" * 50 + "001",
    ],
)
def test_anything_else_is_not_found_with_a_problem_document(log: TestLog, client: FlaskClient, path: str) -> None:
    log.record(300)
    log.publish()
    (log.directory / "secret").write_text("a key")
    answer = client.get(path, headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert b"a key" not in answer.data
    assert str(log.directory).encode() not in answer.data


def test_before_anything_is_published_there_is_no_checkpoint(client: FlaskClient) -> None:
    assert client.get("/log/checkpoint").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_log_cannot_be_written_over_the_web(log: TestLog, client: FlaskClient, method: str) -> None:
    log.record(1)
    log.publish()
    before = (log.files / "checkpoint").read_bytes()
    assert client.open("/log/checkpoint", method=method, data=b"x").status_code == 405
    assert (log.files / "checkpoint").read_bytes() == before


def test_an_outsider_verifies_the_whole_log_over_the_web(log: TestLog, address: str) -> None:
    entries = log.record(600)
    log.publish()
    assert_log_verifies(address, log.vkey, holding=[entry.event_id for entry in entries], exactly=True)


def test_a_server_that_is_not_there_or_holds_no_log_is_named_plainly(log: TestLog, address: str) -> None:
    with pytest.raises(LogUnreadable, match="there is no checkpoint"):
        verify_log(HttpSource(address), vkey=log.vkey)
    with pytest.raises(LogUnreadable, match="did not answer"):
        verify_log(HttpSource("http://127.0.0.1:1/log"), vkey=log.vkey)


def test_a_server_that_redirects_or_floods_is_refused(log: TestLog) -> None:
    hostile = Flask("hostile")

    @hostile.get("/elsewhere/checkpoint")
    def elsewhere() -> tuple[str, int, dict[str, str]]:
        return "", 302, {"Location": "http://127.0.0.1:1/"}

    @hostile.get("/bomb/checkpoint")
    def bomb() -> tuple[bytes, int, dict[str, str]]:
        return gzip.compress(b"\x00" * 40_000_000), 200, {"Content-Encoding": "gzip"}

    server = make_server("127.0.0.1", 0, hostile, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(LogUnreadable, match="302"):
            verify_log(HttpSource(f"http://127.0.0.1:{server.server_port}/elsewhere"), vkey=log.vkey)
        with pytest.raises(LogUnreadable, match="larger than any file"):
            verify_log(HttpSource(f"http://127.0.0.1:{server.server_port}/bomb"), vkey=log.vkey)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
