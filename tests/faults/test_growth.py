"""200,000 rows are over at once: they are purged while the gateway serves, which nobody notices."""

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import requests

from gateway.clock import SystemClock
from gateway.identity.session_ends import OVERDUE_BATCH
from gateway.oidc.models import ClientSessionRow, RefreshTokenRow
from gateway.once.expired import BATCH
from gateway.sharing.exchange.models import ExchangeRow
from tests.kit.grown import Amounts, counted, counts, grow
from tests.kit.oidc_world import Answer, Browser, OidcWorld, RelyingParty, under_gunicorn
from tests.kit.processes import Processes, Running, processes
from tests.kit.pushing import address_of, pushed

pytestmark = [pytest.mark.prove, pytest.mark.timeout(240)]

OVER = Amounts(
    used=90_000,
    access=50_000,
    refresh=25_000,
    authorizations=8_000,
    pushed=12_000,
    attempts=8_000,
    deliveries=5_000,
    initial=500,
    queries=2_000,
    windows=500,
    attachments=500,
    sessions=500,
    answers=500,
)
LIVE = Amounts.alike(500)
WORKERS = 2
"""How many `gateway work` purge, as on two nodes."""
MOST_MEGABYTES = 50
PACE = 0.05
"""Seconds between two visits of one client: what is proved is that each is served, not how many are."""
MOST_WAITING = 10.0
"""Seconds for one request; twice what the database may take before it counts as away, on a busy machine."""
UNUSED_BY_VISITORS = (
    "pushed_requests",
    "outbox_deliveries",
    "initial_access_tokens",
    "subject_queries",
    "quota_windows",
    "exchange_attachments",
    "sign_in_sessions",
)
"""Of which exactly what was put there is over."""


@dataclass(slots=True, kw_only=True)
class Visits:
    """What was asked while the purge ran: how each ended, and how long the slowest took."""

    ended: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    slowest: float = 0.0
    broken: list[str] = field(default_factory=list)

    def ask(self, kind: str, send: Callable[[], requests.Response]) -> requests.Response:
        time.sleep(PACE)
        began = time.monotonic()
        answer = send()
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.ended[kind][answer.status_code] += 1
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What somebody holds from before the purge, and wants to use after it."""

    rp: RelyingParty
    browser: Browser
    tokens: dict[str, str]
    reference: str
    verifier: str

    @classmethod
    def made_in(cls, world: OidcWorld) -> "Live":
        rp, browser = world.relying_party(), world.signed_in(world.citizen())
        tokens = offline_tokens(rp, browser)
        reference, verifier = pushed(rp)
        return cls(rp=rp, browser=browser, tokens=tokens, reference=reference, verifier=verifier)

    def assert_works(self) -> None:
        assert self.rp.userinfo(self.tokens["access_token"]).status_code == 200
        refreshed = self.rp.ask(grant_type="refresh_token", refresh_token=self.tokens["refresh_token"])
        assert refreshed.status_code == 200, refreshed.text
        answer = self.browser.get(address_of(self.rp, self.reference))
        code = Answer(address=answer.headers["Location"]).parameters["code"]
        assert self.rp.redeem(code, self.verifier).status_code == 200


def offline_tokens(rp: RelyingParty, browser: Browser) -> dict[str, str]:
    code, verifier = rp.code(browser, scope="openid offline_access")
    answer = rp.redeem(code, verifier)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


def clients_of(world: OidcWorld, visits: Visits, over: threading.Event) -> tuple[Callable[[], None], ...]:
    """What each client does over and over."""

    def grants() -> None:
        rp = world.relying_party()
        while not over.is_set():
            visits.ask("grant", partial(rp.ask, grant_type="client_credentials"))

    def refreshes() -> None:
        rp, browser = world.relying_party(), world.signed_in(world.citizen())
        tokens = offline_tokens(rp, browser)
        while not over.is_set():
            token = tokens["refresh_token"]
            tokens = visits.ask("refresh", partial(rp.ask, grant_type="refresh_token", refresh_token=token)).json()

    def codes() -> None:
        rp, browser = world.relying_party(), world.signed_in(world.citizen())
        while not over.is_set():
            reference, verifier = pushed(rp)
            answer = visits.ask("authorize", partial(browser.get, address_of(rp, reference)))
            code = Answer(address=answer.headers["Location"]).parameters["code"]
            visits.ask("code", partial(rp.redeem, code, verifier))

    return grants, refreshes, codes


@contextmanager
def visited(world: OidcWorld) -> Iterator[Visits]:
    """Have clients ask for tokens in all ways until the block ends."""
    visits, over = Visits(), threading.Event()

    def visiting(visit: Callable[[], None]) -> None:
        try:
            visit()
        except Exception as error:  # noqa: BLE001 - told below, by the test itself
            visits.broken.append(f"{visit.__name__}: {error!r}")

    threads = [threading.Thread(target=visiting, args=(visit,)) for visit in clients_of(world, visits, over)]
    for thread in threads:
        thread.start()
    try:
        yield visits
    finally:
        over.set()
        for thread in threads:
            thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    growth: str
    rows: int
    seconds: float


def batches(work: Running) -> list[Batch]:
    """Every batch that this process says it has purged."""
    lines = [json.loads(line) for line in work.output().splitlines() if line.startswith("{")]
    return [
        Batch(growth=line["growth"], rows=line["rows"], seconds=line["milliseconds"] / 1000)
        for line in lines
        if line["message"] == "purged"
    ]


def memory_of(work: Running, kind: str) -> float:
    """Megabytes that it has (`VmRSS`), or had at most (`VmHWM`)."""
    status = Path(f"/proc/{work.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(kind))
    return int(line.split()[1]) / 1024


def wait_until(holds: Callable[[], bool], *, within_seconds: float) -> None:
    deadline = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.3)


@pytest.fixture
def world(_databases: Callable[[], AbstractContextManager[str]], tmp_path: Path) -> Iterator[OidcWorld]:
    with (
        _databases() as url,
        processes(tmp_path / "gateway-logs") as group,
        under_gunicorn(group, database_url=url, state_dir=tmp_path / "state") as world,
    ):
        yield world


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path / "work-logs") as group:
        yield group


def begin_work(world: OidcWorld, group: Processes, number: int) -> Running:
    settings = replace(world.gateway.settings, log_level="DEBUG")
    return group.start([sys.executable, "-m", "gateway", "work"], env=settings.environment(), name=f"work-{number}")


def test_serving_and_purging_stay_bounded_under_200_000_rows_that_are_over(world: OidcWorld, group: Processes) -> None:
    database, began = world.gateway.database, SystemClock().now()
    amounts = OVER.by_table()
    assert sum(amounts.values()) + 2 * OVER.sessions >= 200_000
    grow(world, OVER, expires_at=began - timedelta(minutes=1))
    grow(world, LIVE, expires_at=began + timedelta(hours=1))
    live = Live.made_in(world)
    with visited(world) as visits:
        works = [begin_work(world, group, number) for number in range(WORKERS)]
        wait_until(lambda: all('"working"' in work.output() for work in works), within_seconds=60)
        at_first = [memory_of(work, "VmRSS") for work in works]
        wait_until(lambda: nothing_is_over(world, began), within_seconds=150)
        grown = [memory_of(work, "VmHWM") - first for work, first in zip(works, at_first, strict=True)]

    assert visits.broken == []
    assert {kind: set(ended) for kind, ended in visits.ended.items()} == {
        kind: {200} if kind != "authorize" else {303} for kind in ("grant", "refresh", "authorize", "code")
    }
    assert visits.slowest < MOST_WAITING
    assert max(grown) < MOST_MEGABYTES

    _, alive = counts(database, over_by=began + timedelta(hours=1))
    assert {name: number for name, number in alive.items() if number < 500} == {}
    assert counted(database, ClientSessionRow) >= 2 * LIVE.sessions
    live.assert_works()

    done = [batch for work in works for batch in batches(work)]
    assert max(batch.rows for batch in done) == BATCH
    assert max(batch.rows for batch in done if batch.growth == "sign_in_sessions") == OVERDUE_BATCH
    # A writer who waits for one gives up after this long. On an idle machine a batch takes a hundredth of it.
    assert max(batch.seconds for batch in done) < world.gateway.settings.database_timeout
    purged = Counter[str]()
    for batch in done:
        purged[batch.growth] += batch.rows
    # Two processes purged, and no row counts for both.
    assert {name: purged[name] for name in UNUSED_BY_VISITORS} == {name: amounts[name] for name in UNUSED_BY_VISITORS}


def nothing_is_over(world: OidcWorld, at: datetime) -> bool:
    database = world.gateway.database
    over, _ = counts(database, over_by=at)
    return not any(over.values()) and not (
        counted(database, RefreshTokenRow, RefreshTokenRow.sealed_answer == b"sealed")
        or counted(database, ExchangeRow, ExchangeRow.answer.is_not(None))
    )
