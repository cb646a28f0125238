"""`gateway work` tells clients of the end of sessions, though it is killed in the middle of telling them."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway.clock import SystemClock
from gateway.directory.oauth import OAuthSettings
from gateway.identity.models import SessionRow
from gateway.outbox.deliveries import LEASE, State, list_deliveries
from tests.kit.logout_receiver import Receiver, receiving
from tests.kit.oidc_world import Browser, OidcWorld, RelyingParty, hidden_fields, in_this_process
from tests.kit.processes import Processes, Running, processes

pytestmark = [pytest.mark.prove, pytest.mark.timeout(240)]


@dataclass(slots=True, kw_only=True)
class Telling:
    """A gateway whose `work` is a process of its own, and a receiver of its notices."""

    world: OidcWorld
    receiver: Receiver
    group: Processes

    def work(self) -> Running:
        settings = replace(self.world.gateway.settings, outgoing_allow_loopback=(self.receiver.allowed,))
        return self.group.start([sys.executable, "-m", "gateway", "work"], env=settings.environment(), name="work")

    def client(self, name: str) -> RelyingParty:
        address = self.receiver.address(name)
        return self.world.relying_party(oauth=OAuthSettings(backchannel_logout_uri=address))

    def signed_in_at(self, *clients: RelyingParty) -> Browser:
        browser = self.world.signed_in(citizen := self.world.citizen())
        for rp in clients:
            rp.tokens(browser, citizen)
        return browser

    def delivered(self, rp: RelyingParty) -> bool:
        """Whether the gateway has written down that this client took its notice: from then on it gets no other."""
        with self.world.gateway.database.read() as session:
            found = list_deliveries(session, recipient=rp.client.client_id, limit=5)
        return [delivery.state for delivery in found] == [State.DELIVERED]

    def told(self, rp: RelyingParty) -> int:
        return len(self.receiver.notices[rp.client.client_id])


@pytest.fixture
def telling(_databases: Callable[[], AbstractContextManager[str]], tmp_path: Path) -> Iterator[Telling]:
    with (
        _databases() as url,
        in_this_process(database_url=url, state_dir=tmp_path / "state", clock=SystemClock()) as world,
        receiving(world.issuer) as receiver,
        processes(tmp_path / "logs") as group,
    ):
        yield Telling(world=world, receiver=receiver, group=group)


def wait_until(holds: Callable[[], bool], *, within_seconds: float) -> None:
    deadline = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def sign_out(browser: Browser) -> None:
    browser.post("/sign-out", hidden_fields(browser.get("/account").text))


def test_a_notice_whose_worker_is_killed_while_sending_it_is_delivered_by_the_next(telling: Telling) -> None:
    slow, quick = telling.client("slow"), telling.client("quick")
    browser = telling.signed_in_at(slow, quick)
    telling.receiver.held["slow"] = threading.Event()
    first = telling.work()
    sign_out(browser)
    # Whoever hangs holds up nobody: the other has its notice while the first is still being told.
    wait_until(lambda: telling.receiver.tries["slow"] == 1 and telling.delivered(quick), within_seconds=30)
    first.kill_all()
    telling.receiver.held.pop("slow").set()
    telling.work()
    wait_until(lambda: telling.told(slow) == 1, within_seconds=LEASE.total_seconds() + 60)
    assert telling.told(quick) == 1


def test_work_ends_what_is_over_and_tells_its_clients(telling: Telling) -> None:
    rp = telling.client("rp")
    telling.signed_in_at(rp)
    telling.work()
    with telling.world.gateway.database.write() as session:
        session.execute(update(SessionRow).values(idle_until=SystemClock().now() - timedelta(seconds=1)))
    wait_until(lambda: telling.told(rp) == 1, within_seconds=60)
    assert [event["reason"] for event in telling.world.events("identity.session.ended")] == ["over"]
