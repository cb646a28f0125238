"""A client's keys at an address of its own: fetched carefully, kept, and never asked for more often than was said."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from gateway.db import Database
from gateway.directory.members import Client, ClientKind, Member, record_client, record_member
from gateway.directory.oauth import OAuthSettings
from gateway.errors import GatewayError
from gateway.oidc.clients.key_rules import KeysUnusable
from gateway.oidc.clients.key_sets import LARGEST_BYTES, MOST_WAITING, KeySets, fetch_keys
from gateway.outgoing.http_client import AddressForbidden, AnswerTooLarge, HttpClient, TooSlow
from gateway.wire.signer import PrivateKeySigner
from tests.kit.clock import MIDDAY
from tests.oidc.clients.publishing import Publisher, publishing
from tests.outgoing.test_dripping import dripping

ONE, TWO, OTHER = (PrivateKeySigner.generate("ES256", key_id=kid) for kid in ("one", "two", "other"))


def jwks(*signers: PrivateKeySigner) -> dict[str, Any]:
    return {"keys": [signer.public_jwk() for signer in signers]}


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as made:
        made.publish(jwks(ONE))
        yield made


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One client, and who asks for its keys at which moment."""

    database: Database
    key_sets: KeySets
    client: Client

    def kids(self, kid: str | None, at: datetime) -> list[str]:
        return [key["kid"] for key in self.key_sets.keys_of(self.client, kid=kid, now=at)]

    def on_another_node(self, publisher: Publisher) -> "Asking":
        return replace(self, key_sets=KeySets(database=self.database, http=publisher.client()))


@pytest.fixture(scope="module")
def guarded() -> HttpClient:
    """As production has it: nothing special is allowed."""
    return HttpClient()


@pytest.fixture
def asking(database: Database, publisher: Publisher) -> Asking:
    client = Client(
        client_id="library",
        member_code="E06000008",
        name="Specimen library",
        kinds=(ClientKind.RELYING_PARTY,),
        oauth=OAuthSettings(jwks_uri=publisher.url()),
    )
    with database.write() as session:
        record_member(session, Member(code="E06000008", name="Council", kind="council"), at=MIDDAY)
        record_client(session, client, at=MIDDAY)
    return Asking(database=database, key_sets=KeySets(database=database, http=publisher.client()), client=client)


def test_keys_are_fetched_once_and_kept(asking: Asking, publisher: Publisher) -> None:
    for seconds in (0, 1, 299):
        assert asking.kids("one", MIDDAY + timedelta(seconds=seconds)) == ["one"]
    assert len(publisher.visits) == 1
    assert asking.on_another_node(publisher).kids("one", MIDDAY) == ["one"]
    assert len(publisher.visits) == 1, "another node asks the database first"


@pytest.mark.parametrize(
    ("cache_control", "fresh"),
    [
        (None, 300),
        ("max-age=900", 900),
        ("public, max-age=86400", 3600),
        ("no-store, max-age=0", 300),
        ("x-max-age=900", 300),
    ],
)
def test_how_long_they_are_kept_is_said_by_the_client_within_bounds(
    asking: Asking, publisher: Publisher, cache_control: str | None, fresh: int
) -> None:
    publisher.publish(jwks(ONE), **({"Cache-Control": cache_control} if cache_control else {}))
    asking.kids("one", MIDDAY)
    asking.kids("one", MIDDAY + timedelta(seconds=fresh - 1))
    assert len(publisher.visits) == 1
    asking.kids("one", MIDDAY + timedelta(seconds=fresh))
    assert len(publisher.visits) == 2


def test_a_new_key_is_found_when_it_is_first_used_and_an_old_one_is_gone(asking: Asking, publisher: Publisher) -> None:
    asking.kids("one", MIDDAY)
    publisher.publish(jwks(TWO))
    assert asking.kids("two", MIDDAY + timedelta(seconds=61)) == ["two"]
    assert asking.kids("one", MIDDAY + timedelta(seconds=62)) == ["two"]


def test_a_flood_of_invented_kids_is_one_visit_a_minute(asking: Asking, publisher: Publisher) -> None:
    asking.kids("one", MIDDAY)
    elsewhere = asking.on_another_node(publisher)
    for second in range(0, 60, 2):
        asking.kids(f"invented-{second}", MIDDAY + timedelta(seconds=second))
        elsewhere.kids(f"made-up-{second}", MIDDAY + timedelta(seconds=second))
    assert len(publisher.visits) == 1
    asking.kids("invented-again", MIDDAY + timedelta(seconds=60))
    assert len(publisher.visits) == 2


def test_an_address_that_is_dead_from_the_beginning_is_visited_once_a_minute(
    asking: Asking, publisher: Publisher
) -> None:
    publisher.status = 500
    for second in range(60):
        assert asking.kids("one", MIDDAY + timedelta(seconds=second)) == []
    assert len(publisher.visits) == 1
    publisher.publish(jwks(ONE))
    assert asking.kids("one", MIDDAY + timedelta(seconds=60)) == ["one"]


def test_a_dead_address_is_bridged_for_a_day_and_no_longer(asking: Asking, publisher: Publisher) -> None:
    asking.kids("one", MIDDAY)
    publisher.status = 503
    assert asking.kids("one", MIDDAY + timedelta(hours=23, minutes=59)) == ["one"]
    assert len(publisher.visits) == 2, "it was asked, and in vain"
    assert asking.kids("one", MIDDAY + timedelta(hours=24, minutes=2)) == []


def test_keys_of_another_address_are_not_taken_over(asking: Asking, publisher: Publisher) -> None:
    asking.kids("one", MIDDAY)
    publisher.publish(jwks(OTHER))
    moved = replace(asking.client, oauth=OAuthSettings(jwks_uri=publisher.url("/moved.json")))
    assert replace(asking, client=moved).kids("one", MIDDAY + timedelta(seconds=1)) == ["other"]


def test_twenty_requests_at_once_are_one_visit_and_all_are_served(asking: Asking, publisher: Publisher) -> None:
    publisher.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(asking.kids, "one", MIDDAY) for _ in range(20)]
        while not publisher.visits:
            assert not any(one.done() for one in waiting)
        publisher.gate.set()
        assert [one.result() for one in waiting] == [["one"]] * 20
    assert len(publisher.visits) == 1


def test_two_processes_at_once_are_one_visit_and_both_are_served(asking: Asking, publisher: Publisher) -> None:
    publisher.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asking.kids, "one", MIDDAY)
        while not publisher.visits:
            assert not first.done()
        second = pool.submit(asking.on_another_node(publisher).kids, "one", MIDDAY)
        publisher.gate.set()
        assert (first.result(), second.result()) == (["one"], ["one"])
    assert len(publisher.visits) == 1


def test_a_known_key_does_not_wait_for_a_slow_address(asking: Asking, publisher: Publisher) -> None:
    asking.kids("one", MIDDAY)
    publisher.gate.clear()
    later = MIDDAY + timedelta(minutes=6)
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(asking.kids, "one", later)
        while len(publisher.visits) < 2:
            assert not refreshing.done()
        assert asking.kids("one", later) == ["one"]
        assert not refreshing.done()
        publisher.gate.set()
        assert refreshing.result() == ["one"]


def test_few_threads_wait_for_an_address_that_gave_nothing_last_time(asking: Asking, publisher: Publisher) -> None:
    publisher.status = 500
    assert asking.kids("one", MIDDAY) == []
    publisher.publish(jwks(ONE))
    publisher.gate.clear()
    later = MIDDAY + timedelta(minutes=2)
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(asking.kids, "one", later) for _ in range(20)]
        # All but those few are answered while the address still hangs.
        refused = [one.result() for one in islice(as_completed(waiting), 20 - MOST_WAITING)]
        assert refused == [[]] * (20 - MOST_WAITING)
        publisher.gate.set()
        assert sorted(one.result() for one in waiting) == [[]] * (20 - MOST_WAITING) + [["one"]] * MOST_WAITING
    # It answered: from now on everybody may wait for it again.
    assert asking.kids("one", later + timedelta(minutes=6)) == ["one"]


def test_invented_kids_do_not_make_an_address_one_that_gives_nothing(asking: Asking, publisher: Publisher) -> None:
    assert asking.kids("invented", MIDDAY) == ["one"]
    publisher.publish(jwks(TWO))
    publisher.gate.clear()
    later = MIDDAY + timedelta(minutes=2)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(asking.kids, "two", later) for _ in range(8)]
        while len(publisher.visits) < 2:
            assert not any(one.done() for one in waiting)
        publisher.gate.set()
        assert [one.result() for one in waiting] == [["two"]] * 8


def test_nothing_is_locked_while_a_fetch_takes_its_time(asking: Asking, publisher: Publisher) -> None:
    publisher.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(asking.kids, "one", MIDDAY)
        while not publisher.visits:
            assert not fetching.done()
        with asking.database.write() as session:
            record_client(session, replace(asking.client, name="Renamed"), at=MIDDAY)
        publisher.gate.set()
        assert fetching.result() == ["one"]


def private(signer: PrivateKeySigner) -> dict[str, Any]:
    return {**signer.public_jwk(), "d": "AAAA"}


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (302, {"Location": "http://127.0.0.1:1/"}, b""),
        (301, {"Location": "/elsewhere.json", "Content-Type": "application/json"}, json.dumps(jwks(ONE)).encode()),
        (404, {"Content-Type": "application/json"}, json.dumps(jwks(ONE)).encode()),
        (200, {"Content-Type": "text/html"}, json.dumps(jwks(ONE)).encode()),
        (200, {}, json.dumps(jwks(ONE)).encode()),
        (200, {"Content-Type": "application/json"}, b"<html>"),
        (200, {"Content-Type": "application/json"}, b"[]"),
        (200, {"Content-Type": "application/json"}, b'{"keys": {}}'),
        (200, {"Content-Type": "application/json"}, b'{"keys": []}'),
        (200, {"Content-Type": "application/json"}, b'{"keys": [1]}'),
        (200, {"Content-Type": "application/json"}, b'{"keys": [], "keys": []}'),
        (200, {"Content-Type": "application/json"}, json.dumps({"keys": [private(ONE)]}).encode()),
        (200, {"Content-Type": "application/json"}, json.dumps({"keys": [ONE.public_jwk(), private(TWO)]}).encode()),
        (
            200,
            {"Content-Type": "application/json"},
            json.dumps({"keys": [{"kty": "oct", "kid": "k", "k": "AA"}]}).encode(),
        ),
        (200, {"Content-Type": "application/json"}, json.dumps(jwks(ONE, ONE)).encode()),
        (200, {"Content-Type": "application/json"}, json.dumps(jwks(*[ONE] * 21)).encode()),
    ],
)
def test_what_is_no_set_of_public_keys_is_refused(
    publisher: Publisher, status: int, headers: dict[str, str], body: bytes
) -> None:
    publisher.status, publisher.headers, publisher.body = status, headers, body
    with pytest.raises(KeysUnusable):
        fetch_keys(publisher.client(), publisher.url())
    assert publisher.visits == ["/jwks.json"], "a redirect is not followed"


def test_keys_for_others_are_passed_over(publisher: Publisher) -> None:
    encryption = {**TWO.public_jwk(), "use": "enc"}
    curve = {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "big", "alg": "ES512"}
    pointing = {**ONE.public_jwk(), "x5u": "http://169.254.169.254/", "jku": "http://attacker.example/"}
    publisher.publish({"keys": [encryption, curve, {"kty": "AKP"}, pointing]})
    fetched = fetch_keys(publisher.client(), publisher.url())
    assert fetched.keys == (ONE.public_jwk(),)


def test_an_answer_without_end_is_not_read_to_its_end(publisher: Publisher) -> None:
    publisher.publish({"keys": [], "padding": "x" * LARGEST_BYTES})
    with pytest.raises(AnswerTooLarge):
        fetch_keys(publisher.client(), publisher.url())


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.oidc.clients.key_sets.SECONDS", 0.4)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b" ") as address:
        client = HttpClient(allow_loopback=(address,), allow_plain_http=True)
        with pytest.raises(TooSlow):
            fetch_keys(client, f"http://{address}/jwks.json")


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/jwks.json",
        "https://localhost/jwks.json",
        "https://[::1]/jwks.json",
        "https://[::ffff:127.0.0.1]/jwks.json",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/jwks.json",
        "https://192.168.1.1/jwks.json",
        "https://100.64.0.1/jwks.json",
        "https://0.0.0.0/jwks.json",
        "https://2130706433/jwks.json",
        "https://127.1/jwks.json",
        "http://keys.example/jwks.json",
        "file:///etc/passwd",
        "gopher://keys.example/",
        "https://user@keys.example/jwks.json",
    ],
)
def test_no_address_of_our_own_network_is_asked(guarded: HttpClient, uri: str) -> None:
    with pytest.raises(GatewayError) as refused:
        fetch_keys(guarded, uri)
    assert isinstance(refused.value, AddressForbidden)


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["1.1.1.1", "169.254.169.254"], ["fd00::1"], ["fe80::1%1"]]
)
def test_a_name_that_leads_to_our_own_network_is_refused(
    guarded: HttpClient, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (one, 443)) for one in answers])
    with pytest.raises(AddressForbidden):
        fetch_keys(guarded, "https://keys.example/jwks.json")


def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_judged(
    guarded: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    connected: list[str] = []

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", ("1.1.1.1" if len(asked) == 1 else "127.0.0.1", 443))]

    def connect(address: tuple[str, int], *_: object, **__: object) -> None:
        connected.append(address[0])
        raise OSError("nothing leaves this machine")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(GatewayError):
        fetch_keys(guarded, "https://keys.example/jwks.json")
    assert (asked, connected) == (["keys.example"], ["1.1.1.1"])
