"""Form Post Response Mode in a real browser: by itself where scripts run, else by a button and the keyboard."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.kit.browser import PHONE, assert_accessible, assert_fits, chromium, complaints_of
from tests.kit.oidc_world import OidcWorld

pytestmark = pytest.mark.browser


class Service(HTTPServer):
    """A relying party's redirect URI, which keeps what it was sent."""

    posted: dict[str, str]


class Callback(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Service)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posted = dict(parse_qsl(body))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        # An icon of its own, so that the browser asks for none.
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>Service</title><h1>Signed in</h1>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service(("127.0.0.1", 0), Callback)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def phone() -> Iterator[BrowserContext]:
    with chromium() as browser, browser.new_context(viewport=PHONE) as context:
        yield context


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_the_answer_arrives(world: OidcWorld, service: Service, phone: BrowserContext, *, scripts: bool) -> None:
    rp = world.relying_party(redirect_uris=(f"http://localhost:{service.server_port}/callback",))
    cookie = world.gateway.people.cookie.name
    secret = str(world.signed_in(world.officer()).session.cookies[cookie])
    phone.add_cookies([{"name": cookie, "value": secret, "url": world.issuer}])
    address, verifier = rp.request(response_mode="form_post", state="s")
    page = phone.new_page()
    complaints = complaints_of(page)
    if scripts:
        page.goto(address)
    else:
        # Our script does not arrive; the browser itself still runs axe.
        page.route("**/page.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
        page.goto(address)
        assert_fits(page)
        assert_accessible(page)
        page.get_by_role("button", name="Continue").focus()
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Signed in")).to_be_visible()
    assert complaints == []
    assert (service.posted["state"], service.posted["iss"]) == ("s", world.issuer)
    assert rp.redeem(service.posted["code"], verifier).status_code == 200
    page.close()
