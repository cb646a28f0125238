"""OWASP SSRF, RFC 7591 §5: what clients publish is fetched from the public internet, and from nowhere else.

Clients name addresses (`jwks_uri`, `sector_identifier_uri`) that the gateway then asks. Whatever they name or become
later, nothing of the gateway's own network is reached, and the client is refused as if its keys could not be had.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from typing import Any

import pytest
import requests
from urllib3.util import connection as urllib3_connection

from gateway.directory.members import ClientKind
from gateway.directory.oauth import OAuthSettings
from gateway.oidc.clients.limits import Limits
from gateway.oidc.clients.registration_tokens import issue_initial_token
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import FrozenClock
from tests.kit.oidc_world import COUNCIL, OidcWorld, RelyingParty, in_this_process
from tests.oidc.clients.publishing import Publisher, publishing

pytestmark = pytest.mark.any_database
NAME = "keys.rp.example"
KEY = PrivateKeySigner.generate("ES256")


class Inside:
    """Something on the gateway's own network that nobody outside should reach: counts whoever connects."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.visits = 0
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with closing(connection):
                if connection.recv(3) == b"end":
                    return
                self.visits += 1

    def close(self) -> None:
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=5)) as connection:
            connection.sendall(b"end")
            self._thread.join(5)
        self._listener.close()


@pytest.fixture
def inside() -> Iterator[Inside]:
    made = Inside()
    yield made
    made.close()


@pytest.fixture(scope="module")
def outside() -> Iterator[Publisher]:
    """A client's own server; it is on loopback too, so the gateway is allowed this one address."""
    with publishing() as made:
        yield made


@pytest.fixture(scope="module")
def _one_world(_databases: Any, outside: Publisher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcWorld]:
    databases: AbstractContextManager[str] = _databases()
    folder = tmp_path_factory.mktemp("ssrf")
    with (
        databases as url,
        in_this_process(
            database_url=url,
            state_dir=folder / "state",
            clock=FrozenClock(),
            outgoing_allow_loopback=(outside.address,),
        ) as made,
    ):
        yield made


@pytest.fixture
def fetching(_one_world: OidcWorld, _databases: Any) -> OidcWorld:
    _one_world.advance(hours=1)
    return _one_world


def client_at(world: OidcWorld, address: str) -> RelyingParty:
    return world.relying_party(signer=KEY, keys=(), oauth=OAuthSettings(jwks_uri=address))


def assert_refused(rp: RelyingParty) -> None:
    answer = rp.ask(grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    # Nothing tells what was found at the address, or whether anything is there.
    assert answer.json()["error_description"] == "The client could not be authenticated"


ADDRESSES = {
    "loopback": "https://127.0.0.1:{port}/jwks.json",
    "loopback by name": "https://localhost:{port}/jwks.json",
    "loopback in the clear": "http://127.0.0.1:{port}/jwks.json",
    "loopback by IPv6": "https://[::1]:{port}/jwks.json",
    "loopback by IPv4 in IPv6": "https://[::ffff:127.0.0.1]:{port}/jwks.json",
    "loopback by IPv4 in the old IPv6": "https://[::127.0.0.1]:{port}/jwks.json",
    "loopback behind NAT64": "https://[64:ff9b::7f00:1]:{port}/jwks.json",
    "loopback behind 6to4": "https://[2002:7f00:1::]:{port}/jwks.json",
    "another loopback": "https://127.8.8.8:{port}/jwks.json",
    "loopback in two parts": "https://127.1:{port}/jwks.json",
    "loopback as a number": "https://2130706433:{port}/jwks.json",
    "loopback in hexadecimal": "https://0x7f000001:{port}/jwks.json",
    "this host": "https://0.0.0.0:{port}/jwks.json",
    "link-local metadata": "https://169.254.169.254/latest/meta-data/",
    "link-local metadata behind NAT64": "https://[64:ff9b::a9fe:a9fe]/latest/meta-data/",
    "link-local by IPv6": "https://[fe80::1]/jwks.json",
    "site-local by IPv6": "https://[fec0::1]/jwks.json",
    "unique local by IPv6": "https://[fd00::1]/jwks.json",
    "private": "https://10.0.0.1/jwks.json",
    "private too": "https://192.168.0.1/jwks.json",
    "carrier-grade": "https://100.64.0.1/jwks.json",
    "multicast": "https://224.0.0.1/jwks.json",
    "multicast by IPv6": "https://[ff02::1]/jwks.json",
    "a file": "file:///etc/passwd",
    "another protocol": "gopher://127.0.0.1:{port}/_x",
    "userinfo": "https://rp.example@127.0.0.1:{port}/jwks.json",
    "no address": "https:///jwks.json",
    "a port out of range": "https://127.0.0.1:99999/jwks.json",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_ssrf_by_an_address_of_our_own_network(fetching: OidcWorld, inside: Inside, address: str) -> None:
    # As if it had been registered before there was a rule against it: what counts is that nobody calls there.
    assert_refused(client_at(fetching, ADDRESSES[address].format(port=inside.port)))
    assert inside.visits == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_ssrf_by_redirect(fetching: OidcWorld, outside: Publisher, inside: Inside, status: int) -> None:
    outside.status, outside.body = status, b""
    outside.headers = {"Location": f"http://127.0.0.1:{inside.port}/", "Content-Type": "application/json"}
    before = len(outside.visits)
    assert_refused(client_at(fetching, outside.url(f"/{status}.json")))
    assert (len(outside.visits) - before, inside.visits) == (1, 0)


class Names:
    """A name server that answers for one name as it is told, and notes where the gateway connects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[list[str]] = []
        self.asked = 0
        self.connected: list[str] = []
        resolve, connect = socket.getaddrinfo, urllib3_connection.create_connection

        def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            if host != NAME:
                return resolve(host, port, *args, **options)
            self.asked += 1
            found = self.answers[min(self.asked, len(self.answers)) - 1]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

        def create_connection(address: Any, *args: Any, **options: Any) -> Any:
            if address[1] != 443:
                return connect(address, *args, **options)
            self.connected.append(address[0])
            raise OSError("nothing leaves this machine")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        monkeypatch.setattr(urllib3_connection, "create_connection", create_connection)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["169.254.169.254"], ["1.1.1.1", "127.0.0.1"], ["fe80::1%1"], ["64:ff9b::a00:1"], ["2002:a00:1::"]],
    ids=str,
)
def test_ssrf_by_a_name_that_leads_inside(fetching: OidcWorld, names: Names, answers: list[str]) -> None:
    names.answers = [answers]
    assert_refused(client_at(fetching, f"https://{NAME}/jwks.json"))
    assert (names.asked, names.connected) == (1, [])


def test_ssrf_by_a_dns_change(fetching: OidcWorld, names: Names) -> None:
    """The name leads outside when it is judged, and inside when it would be connected to."""
    names.answers = [["1.1.1.1"], ["127.0.0.1"]]
    assert_refused(client_at(fetching, f"https://{NAME}/jwks.json"))
    assert (names.asked, names.connected) == (1, ["1.1.1.1"])


def test_an_address_that_is_translated_for_us_is_as_public_as_what_it_leads_to(
    fetching: OidcWorld, names: Names
) -> None:
    names.answers = [["64:ff9b::101:101"]]
    assert_refused(client_at(fetching, f"https://{NAME}/jwks.json"))
    assert names.connected == ["64:ff9b::101:101"]


@pytest.mark.parametrize("address", ["loopback", "link-local metadata", "private", "loopback behind NAT64", "a file"])
def test_ssrf_while_registering(fetching: OidcWorld, inside: Inside, address: str) -> None:
    limits = Limits(
        member_code=COUNCIL, kinds=(ClientKind.RELYING_PARTY,), scopes=("openid",), account_kinds=("citizen",)
    )
    now = fetching.clock.now()
    with fetching.gateway.database.write() as session:
        made = issue_initial_token(session, limits, uses=1, expires_at=now + timedelta(days=1), by="test", now=now)
    metadata = {
        "client_name": "Specimen library",
        "redirect_uris": ["https://rp.example/callback"],
        "jwks": {"keys": [KEY.public_jwk()]},
        "sector_identifier_uri": ADDRESSES[address].format(port=inside.port),
    }
    headers = {"Authorization": f"Bearer {made.token}"}
    answer = requests.post(f"{fetching.issuer}/register", json=metadata, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
    assert inside.visits == 0


def test_keys_at_a_public_address_are_fetched_and_used(fetching: OidcWorld, outside: Publisher) -> None:
    """What the tests above refuse would else work."""
    outside.publish({"keys": [KEY.public_jwk()]})
    rp = client_at(fetching, outside.url("/good.json"))
    assert rp.ask(grant_type="client_credentials").status_code == 200
