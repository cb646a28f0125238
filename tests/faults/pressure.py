"""Many clients asking at once, and whether the log holds exactly what they were told."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from sqlalchemy import func, select

from gateway.sdk.consumer import Answer, Consumer, NotAnswered
from gateway.sdk.metadata import GatewayUnreachable
from gateway.sharing.exchange.models import ExchangeRow
from gateway.sharing.exchange.outcomes import EVENTS
from gateway.signing.signing_keys import Purpose
from gateway.wire.encoding import b64_encode
from gateway.wire.leaves import Leaf
from gateway.wire.merkle import leaf_hash
from gateway.wire.receipts import Receipt, verify_receipt
from tests.kit.processes import Child, Running
from tests.kit.world import ADA_MATCH, Asking, World

ENDINGS = frozenset(EVENTS.values())


@dataclass(slots=True, kw_only=True)
class Load:
    """What clients were told so far, and how many questions ended without any answer. Safe in threads."""

    told: list[Receipt] = field(default_factory=list)
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, receipt: Receipt | None) -> None:
        """Count one question."""
        with self._lock:
            if receipt is None:
                self.unanswered += 1
            else:
                self.told.append(receipt)

    @property
    def asked(self) -> int:
        """How many questions ended, one way or the other."""
        return len(self.told) + self.unanswered

    def wait_until(self, enough: Callable[["Load"], bool], *, within_seconds: float = 60) -> None:
        """Return once `enough` holds."""
        wait_until(lambda: enough(self), within_seconds=within_seconds)


def wait_until(holds: Callable[[], bool], *, within_seconds: float) -> None:
    """Return once `holds()`; fails after `within_seconds`."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to be within {within_seconds:g} seconds"
        time.sleep(0.05)


def ask(world: World, consumer: Consumer, asking: Asking, number: int, *, token: str) -> Receipt | None:
    """Ask as an honest client does; every fourth question is one that must be refused.

    The receipt of whatever was told, verified; None when the client was left without an answer.
    """
    fields = ["eligible", "award_amount"] if number % 4 == 3 else ["eligible", "tier"]
    try:
        answer = consumer.ask(
            service=asking.service,
            purpose=asking.purpose,
            subject={"match": ADA_MATCH},
            fields=fields,
            case_reference=f"FSM/2026/{number:05d}",
            access_token=token,
        )
    except GatewayUnreachable:
        return None
    except NotAnswered as error:
        unverified = error.problem.get("receipt")
        return verified(world, unverified) if isinstance(unverified, str) else None
    assert isinstance(answer, Answer) == (number % 4 != 3)
    return answer.receipt


def verified(world: World, unverified: str) -> Receipt:
    """A receipt checked with the gateway's public keys."""
    return verify_receipt(unverified, keys=world.gateway.signing.public_jwks(Purpose.EXCHANGE))


def ask_many(world: World, asking: Asking, load: Load, *, questions: int, threads: int) -> None:
    """Ask `questions` questions from `threads` threads; returns when each has ended."""
    token, consumer = world.officer_token(), world.consumer()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda n: load.note(ask(world, consumer, asking, n, token=token)), range(questions)):
            pass


@contextmanager
def asking_all_the_while(world: World, asking: Asking, *, threads: int) -> Iterator[Load]:
    """Keep `threads` clients asking until the block ends."""
    token, consumer, load, stop = world.officer_token(), world.consumer(), Load(), threading.Event()

    def client(first: int) -> None:
        number = first
        while not stop.is_set():
            load.note(ask(world, consumer, asking, number, token=token))
            number += threads

    with ThreadPoolExecutor(threads) as pool:
        clients = [pool.submit(client, first) for first in range(threads)]
        try:
            yield load
        finally:
            stop.set()
        for each in clients:
            each.result()


def exchanges_of(world: World, asking: Asking) -> Sequence[ExchangeRow]:
    """Every exchange about this test's service."""
    with world.gateway.database.read() as session:
        return session.scalars(select(ExchangeRow).where(ExchangeRow.service == asking.service)).all()


def wait_until_none_is_open(world: World, asking: Asking, *, within_seconds: float = 40) -> None:
    """Give recovery its time."""
    wait_until(lambda: open_exchanges(world, asking) == 0, within_seconds=within_seconds)


def wait_until_ready(world: World, *, within_seconds: float = 60) -> None:
    """Give the gateway, and what it needs, the time to come back by itself."""
    wait_until(lambda: _is_ready(world), within_seconds=within_seconds)


def assert_accounted_for(
    world: World, asking: Asking, told: Collection[Receipt], *, leaves: Sequence[Leaf] | None = None
) -> Sequence[ExchangeRow]:
    """The verified log holds each exchange's ending exactly once, and it is what its client was told.

    Every receipt, told or not, verifies and names its own entry. Returns the exchanges.
    """
    endings: Mapping[str, list[Leaf]] = defaultdict(list)
    for leaf in world.assert_log_verifies() if leaves is None else leaves:
        if leaf.event in ENDINGS and leaf.reference is not None:
            endings[leaf.reference].append(leaf)
    rows = exchanges_of(world, asking)
    for row in rows:
        assert row.state in EVENTS, "an exchange is still open"
        assert [leaf.outcome for leaf in endings[str(row.id)]] == [row.state]
        assert row.receipt is not None
        receipt = verified(world, row.receipt)
        assert (receipt.exchange, receipt.outcome) == (str(row.id), row.state)
        assert receipt.log_entry == b64_encode(leaf_hash(endings[str(row.id)][0].encode()))
    known = {str(row.id): row for row in rows}
    for receipt in told:
        assert receipt.outcome == known[receipt.exchange].state
        assert [leaf.outcome for leaf in endings[receipt.exchange]] == [receipt.outcome]
        assert receipt.log_entry == b64_encode(leaf_hash(endings[receipt.exchange][0].encode()))
    return rows


def below(world: World) -> list[Child]:
    """Every process of the gateway's, below `gateway serve`."""
    return Running(
        process=world.processes["gateway"], log=world.layout.world_dir / "logs" / "gateway.log"
    ).descendants()


def web_workers(world: World) -> list[int]:
    """The ids of gunicorn's workers: its first process is the master, which serves nobody."""
    return [child.pid for child in below(world) if " gunicorn " in child.command][1:]


def busiest(workers: Collection[int]) -> int:
    """The worker with the most connections open: to clients, and to departments for them."""

    def connections(pid: int) -> int:
        return sum(entry.readlink().name.startswith("socket:") for entry in Path(f"/proc/{pid}/fd").iterdir())

    return max(workers, key=connections)


def _is_ready(world: World) -> bool:
    try:
        return requests.get(f"{world.issuer}/readyz", timeout=5).ok
    except requests.RequestException:
        return False


def open_exchanges(world: World, asking: Asking) -> int:
    """How many exchanges about this test's service are under way."""
    with world.gateway.database.read() as session:
        under_way = select(func.count()).where(ExchangeRow.service == asking.service, ExchangeRow.state == "open")
        return session.scalar(under_way) or 0


def work_process(world: World) -> int | None:
    """The id of `gateway work`, if it runs."""
    return next((child.pid for child in below(world) if child.command.endswith(" gateway work")), None)
