"""Two nodes behind HAProxy on a replicated PostgreSQL: nodes and databases come and go under load."""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import delete, select

from gateway.audit.models import NoiseRow
from gateway.demo.browser import Browser
from gateway.wire.message_signatures import HttpRequest, HttpResponse
from tests.conformance.while_answering import exchange_asked
from tests.faults.pressure import (
    Load,
    asking_all_the_while,
    assert_accounted_for,
    exchanges_of,
    wait_until,
    wait_until_none_is_open,
)
from tests.faults.visits import visited_all_the_while
from tests.kit.nodes import Node, Replicated, Topology, replicated_postgresql, running_nodes
from tests.kit.processes import processes
from tests.kit.tls import TestAuthority
from tests.kit.world import Asking

pytestmark = [pytest.mark.prove, pytest.mark.postgresql, pytest.mark.timeout(300)]

SETTINGS = {
    "provider_timeout": 2.0,
    "exchange_lease": 4.0,
    "database_timeout": 2.0,
    "provider_calls": 8,
    # A busy machine may be slow to notice; HAProxy itself needs about one second.
    "drain_seconds": 4.0,
}
BOUND_SECONDS = 15.0  # the gateway's own bounds come to seven or eight; the rest is for a busy machine
CLIENTS = 6


@pytest.fixture(scope="module")
def databases() -> Iterator[Replicated]:
    with replicated_postgresql() as pair:
        yield pair


@pytest.fixture(scope="module")
def topology(
    databases: Replicated, tmp_path_factory: pytest.TempPathFactory, test_authority: TestAuthority
) -> Iterator[Topology]:
    folder = tmp_path_factory.mktemp("nodes")
    with (
        processes(folder / "logs") as group,
        running_nodes(folder, databases, group, test_authority, **SETTINGS) as running,
    ):
        yield running


def test_visitors_are_told_apart_behind_the_proxy_and_none_can_pose_as_another(topology: Topology) -> None:
    world = topology.world

    def sources(visits: tuple[tuple[str, str, str], ...]) -> list[str]:
        """What was counted after bad requests, each from an address, to an address, with a forged header."""
        for source, target, forged in visits:
            with _session(topology) as http:
                http.mount("https://", _From(source))
                http.mount("http://", _From(source))
                answer = http.post(
                    f"{target}/sharing/v1/exchanges", headers={"X-Forwarded-For": forged} if forged else {}, timeout=20
                )
                assert answer.status_code == HTTPStatus.UNAUTHORIZED
        with world.gateway.database.write() as session:
            found = session.scalars(select(NoiseRow.source_tag).distinct()).all()
            session.execute(delete(NoiseRow))
        return sorted(found)

    proxy, node = world.issuer, topology.nodes[0].address
    [one] = sources((("127.0.0.2", proxy, ""), ("127.0.0.2", proxy, "203.0.113.9"), ("127.0.0.2", node, "127.0.0.3")))
    [other] = sources((("127.0.0.3", proxy, "127.0.0.2"),))
    assert one != other


def test_cookies_are_for_tls_alone_though_the_last_hop_is_not(topology: Topology) -> None:
    http = _session(topology)
    browser = Browser(session=http)
    browser.open(f"{topology.world.issuer}/sign-in")
    topology.world.sign_in(browser, topology.world.officer())
    assert {cookie.name for cookie in http.cookies} == {"__Host-gateway-sign-in", "__Host-gateway-forms"}
    assert all(cookie.secure for cookie in http.cookies)


def test_of_copies_sent_to_both_nodes_at_once_one_is_answered(topology: Topology) -> None:
    world = topology.world
    request = world.signed(world.body(world.asking()))
    with ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(partial(_sent_to, request=request), topology.nodes * 4))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    assert {json.loads(answer.body)["code"] for answer in answers if answer.status == 401} == {"nonce_replayed"}


def test_a_retry_at_the_other_node_gets_the_original_answer_until_it_is_permitted_no_longer(topology: Topology) -> None:
    world, (one, other) = topology.world, topology.nodes
    asking, key = world.asking(), str(uuid.uuid4())
    body = world.body(asking)
    first = _sent_to(one, request=world.signed(body, key=key))
    again = _sent_to(other, request=world.signed(body, key=key))
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    another = _sent_to(other, request=world.signed(world.body(asking), key=key))
    assert (another.status, json.loads(another.body)["code"]) == (422, "idempotency_key_reused")
    world.suspend(asking)
    for node in (one, other):
        refused = _sent_to(node, request=world.signed(body, key=key))
        assert [rule["code"] for rule in json.loads(refused.body)["rules"]] == ["agreement_suspended"]
    assert world.outcomes_of(json.loads(first.body)["exchange"]) == ["disclosed", "repeated", "refused", "refused"]


def test_what_is_suspended_while_one_node_waits_for_the_provider_is_released_by_neither(topology: Topology) -> None:
    world, (one, other) = topology.world, topology.nodes
    asking, key = world.asking("gated", answer_seconds=10.0), str(uuid.uuid4())
    body = world.body(asking)
    with ThreadPoolExecutor(1) as sender:
        answer = sender.submit(_sent_to, one, request=world.signed(body, key=key))
        exchange = exchange_asked(world, asking)
        running = _sent_to(other, request=world.signed(body, key=key))
        assert (running.status, json.loads(running.body)["code"]) == (409, "still_running")
        world.suspend(asking)
        world.open_gate(asking)
        refused = answer.result(timeout=30)
    again = _sent_to(other, request=world.signed(body, key=key))
    assert (refused.status, again.status, again.body) == (403, 403, refused.body)
    assert world.outcomes_of(exchange) == ["refused", "repeated"]


def _sent_to(node: Node, *, request: HttpRequest) -> HttpResponse:
    """Send it past the proxy: what was signed is the address that everybody knows."""
    path = urlsplit(request.target_uri).path
    answer = requests.post(node.address + path, data=request.body, headers=dict(request.headers), timeout=30)
    return HttpResponse(status=answer.status_code, headers=answer.headers, body=answer.content)


def test_nodes_are_restarted_one_after_the_other_and_no_request_fails(topology: Topology) -> None:
    asking = topology.world.asking()
    with visited_all_the_while(topology.world, asking) as visits:
        wait_until(lambda: visits.answered["sign_in"] >= 1 or bool(visits.failed), within_seconds=60)
        for node in topology.nodes:
            before, others = topology.times_up(node), visits.answered.total()
            node.running.process.terminate()
            assert node.running.process.wait(90) == 0
            node.start()
            topology.wait_until_up(node, more_often_than=before)
            assert visits.answered.total() > others, "nobody was served meanwhile"
        signed_in = visits.answered["sign_in"]
        wait_until(lambda: visits.answered["sign_in"] > signed_in or bool(visits.failed), within_seconds=60)
    assert visits.failed == []
    rows = assert_accounted_for(topology.world, asking, visits.receipts)
    assert {str(row.id) for row in rows} == {receipt.exchange for receipt in visits.receipts}
    assert {row.state for row in rows} == {"disclosed", "refused"}


def test_a_node_is_lost_and_the_other_serves_on(topology: Topology) -> None:
    asking, lost = topology.world.asking(), topology.nodes[0]
    with asking_all_the_while(topology.world, asking, threads=CLIENTS) as load:
        load.wait_until(lambda load: len(load.told) >= 10)
        lost.running.kill_all()
        _wait_for_more(load)
        before = topology.times_up(lost)
        lost.start()
        topology.wait_until_up(lost, more_often_than=before)
    _assert_all_is_well(topology, asking, load)


def test_connections_to_the_database_are_cut_again_and_again(topology: Topology) -> None:
    asking = topology.world.asking()
    primary = topology.databases.primary
    with asking_all_the_while(topology.world, asking, threads=CLIENTS) as load:
        for _ in range(8):
            _wait_for_more(load, count=3)
            assert primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gateway'")
    _assert_all_is_well(topology, asking, load)


def test_the_database_is_killed_and_comes_back(topology: Topology) -> None:
    asking, once = topology.world.asking(), topology.world.asking()
    with asking_all_the_while(topology.world, asking, threads=CLIENTS) as load:
        load.wait_until(lambda load: len(load.told) >= 10)
        topology.databases.primary.kill()
        _assert_unavailable_within_bounds(topology, once)
        topology.databases.primary.start()
        _wait_for_more(load)
    _assert_all_is_well(topology, asking, load)


def test_the_database_is_frozen_for_longer_than_anybody_waits(topology: Topology) -> None:
    asking, once = topology.world.asking(), topology.world.asking()
    with asking_all_the_while(topology.world, asking, threads=CLIENTS) as load:
        load.wait_until(lambda load: len(load.told) >= 10)
        topology.databases.primary.freeze()
        try:
            for _ in range(3):
                _assert_unavailable_within_bounds(topology, once)
        finally:
            topology.databases.primary.thaw()
        _wait_for_more(load)
    _assert_all_is_well(topology, asking, load)


# The last of this file: afterwards there is no primary as before, and no replica.
def test_the_primary_is_lost_and_nothing_that_was_acknowledged_with_it(topology: Topology) -> None:
    asking, once = topology.world.asking(), topology.world.asking()
    primary, replica = topology.databases.primary, topology.databases.replica
    with asking_all_the_while(topology.world, asking, threads=CLIENTS) as load:
        load.wait_until(lambda load: len(load.told) >= 10)
        # 1. The replica falls silent: what it does not have is not acknowledged.
        replica.kill()
        _assert_unavailable_within_bounds(topology, once)
        told = len(load.told)
        # 2. The primary crashes and finds in its own log what no replica ever had: entries, and the second time the
        #    places that the sequencer gave them. Nothing of that may be acknowledged or published either.
        for _ in range(2):
            primary.kill()
            primary.start()
            _assert_unavailable_within_bounds(topology, once)
        assert len(load.told) == told
        # 3. The primary is lost for good; the replica takes its place.
        primary.kill()
        replica.start()
        replica.promote()
        _wait_for_more(load)
    _assert_all_is_well(topology, asking, load)


def _wait_for_more(load: Load, *, count: int = 10) -> None:
    before = len(load.told)
    load.wait_until(lambda load: len(load.told) >= before + count)


def _assert_unavailable_within_bounds(topology: Topology, asking: Asking) -> None:
    """One question, sent once: it is turned away in time, by a node or by the proxy that finds none ready."""
    world = topology.world
    request, started = world.signed(world.body(asking)), time.monotonic()
    answer = world.send(request)
    seconds = time.monotonic() - started
    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert seconds < BOUND_SECONDS


def _assert_all_is_well(topology: Topology, asking: Asking, load: Load) -> None:
    """Everybody is served again, and the log holds what clients were told, once each."""
    world = topology.world
    wait_until(lambda: _session(topology).get(f"{world.issuer}/readyz", timeout=20).ok, within_seconds=60)
    wait_until_none_is_open(world, asking)
    rows = assert_accounted_for(world, asking, load.told)
    told = [receipt.exchange for receipt in load.told]
    assert len(set(told)) == len(told)
    assert len(rows) <= load.asked, "a question that was sent again became a second exchange"
    assert exchanges_of(world, asking)


def _session(topology: Topology) -> requests.Session:
    http = requests.Session()
    http.trust_env = False
    http.verify = str(topology.world.layout.ca_file)
    return http


class _From(HTTPAdapter):
    """Calls from one of loopback's addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)  # type: ignore[arg-type]
