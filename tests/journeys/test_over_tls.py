"""The main journey as production runs it: https everywhere, certificates by an authority made for these tests."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from http.cookiejar import Cookie
from pathlib import Path

import pytest
import requests

from gateway.demo.browser import Browser
from gateway.demo.journey import Walk
from gateway.demo.layout import PROVIDER_CLIENT, Certificate
from gateway.demo.runner import gunicorn
from gateway.sharing.catalogue.services import set_endpoint
from tests.kit.processes import Processes, free_port, processes
from tests.kit.tls import TestAuthority
from tests.kit.world import World, running_world

pytestmark = pytest.mark.any_database


@pytest.fixture(scope="module")
def tls_world(
    _databases: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
    test_authority: TestAuthority,
) -> Iterator[World]:
    """A whole gateway that speaks nothing but TLS."""
    folder = tmp_path_factory.mktemp("tls-world")
    issued = test_authority.issue(file_name="world")
    certificate = Certificate(chain=issued.certificate, key=issued.key, authority=test_authority.ca_file)
    with (
        _databases() as url,
        processes(folder / "logs") as group,
        running_world(
            folder / "state",
            url,
            group,
            layout_changes={"certificate": certificate},
            more_providers=(f"localhost:{free_port()}",),
        ) as running,
    ):
        yield running


def http(world: World) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(world.layout.ca_file)
    return session


def test_the_demonstrations_walk_holds_over_tls(tls_world: World) -> None:
    said: list[str] = []
    walk = Walk(
        layout=tls_world.layout,
        accounts=tls_world.accounts,
        public_keys=tls_world.public_keys_file(),
        say=said.append,
        ca_file=tls_world.layout.ca_file,
    )
    assert walk.run(), said
    assert len([line for line in said if line.startswith("ok  ")]) == 10
    assert tls_world.issuer.startswith("https://")


def test_every_cookie_is_bound_to_host_and_tls(tls_world: World) -> None:
    session = http(tls_world)
    browser = Browser(session=session)
    browser.open(f"{tls_world.layout.portal}/sign-in")
    tls_world.sign_in(browser, tls_world.officer())
    assert "Benefits officer" in browser.text
    cookies = {cookie.name: cookie for cookie in session.cookies}
    assert set(cookies) == {"__Host-gateway-sign-in", "__Host-gateway-forms", "__Host-blackburn-portal"}
    for cookie in cookies.values():
        assert cookie.secure
        assert cookie.path == "/"
        assert not cookie.domain_specified
        assert {name.lower() for name in attributes(cookie)} >= {"httponly", "samesite"}


def attributes(cookie: Cookie) -> dict[str, str | None]:
    found: dict[str, str | None] = vars(cookie)["_rest"]
    return found


@pytest.mark.parametrize("path", ["/", "/sign-in", "/no-such-page", "/.well-known/openid-configuration", "/authorize"])
def test_browsers_are_told_to_come_back_by_tls_alone(path: str, tls_world: World) -> None:
    for origin in (tls_world.issuer, tls_world.layout.portal):
        answer = http(tls_world).get(origin + path, timeout=10, allow_redirects=False)
        assert answer.headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"


def test_plain_http_gets_nothing_at_the_tls_port(tls_world: World) -> None:
    session = http(tls_world)
    for origin in (tls_world.issuer, tls_world.layout.portal, tls_world.layout.provider):
        with pytest.raises(requests.ConnectionError):
            session.get(origin.replace("https:", "http:") + "/healthz", timeout=10)


def test_a_caller_who_does_not_know_the_authority_does_not_connect(tls_world: World) -> None:
    session = requests.Session()
    session.trust_env = False
    with pytest.raises(requests.exceptions.SSLError):
        session.get(f"{tls_world.issuer}/healthz", timeout=10)


def test_old_protocols_are_refused(tls_world: World) -> None:
    context = ssl.create_default_context(cafile=str(tls_world.layout.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 "):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", tls_world.layout.gateway_port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_department_whose_certificate_does_not_hold_is_told_nothing(
    wrong: str,
    tls_world: World,
    tmp_path: Path,
    test_authority: TestAuthority,
    server_processes: Processes,
) -> None:
    authority = TestAuthority(tmp_path) if wrong == "authority" else test_authority
    names = ("localhost",) if wrong == "authority" else ("elsewhere.example",)
    issued = authority.issue(*names, file_name=f"impostor-{wrong}")
    impostor_port = int(tls_world.layout.more_providers[-1].rpartition(":")[2])
    origin = f"https://localhost:{impostor_port}"
    layout = replace(
        tls_world.layout,
        certificate=Certificate(chain=issued.certificate, key=issued.key, authority=authority.ca_file),
    )
    heard = tmp_path / "heard"
    heard.mkdir()
    application = (
        f"tests.kit.hostile_provider:make_app({str(layout.world_dir / 'department.sqlite3')!r}, "
        f"{str(layout.key_file(PROVIDER_CLIENT))!r}, {layout.gateway!r}, {origin!r}, {str(heard)!r})"
    )
    server_processes.start(gunicorn(application, impostor_port, layout), env={}, name="impostor")
    wait_until_listening(impostor_port)
    asking = tls_world.asking(answer_seconds=10.0)
    with tls_world.gateway.database.write() as session:
        set_endpoint(session, asking.service, f"{origin}/good")

    answer = tls_world.send(tls_world.signed(tls_world.body(asking)))

    problem = json.loads(answer.body)
    assert (answer.status, problem["code"]) == (502, "provider_unreachable")
    assert "record" not in problem
    assert tls_world.outcomes_of(problem["exchange"]) == ["failed"]
    assert list(heard.iterdir()) == []
    tls_world.assert_log_verifies()


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"nobody listens on {port}")
