"""A quota is one for all workers, exact, and cheap; a rolled back lot was never taken."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import http_sf
import pytest
from sqlalchemy import event

from gateway.db import Database
from gateway.sharing.exchange.limits.quotas import QuotaExceeded, Quotas, Spent, Standing
from gateway.sharing.exchange.limits.volumes import purge_windows
from tests.kit.clock import MIDDAY

Worker = Callable[[int], Quotas]


@pytest.fixture
def worker(database: Database) -> Iterator[Worker]:
    """A worker with its own connections, as another process or node would be; its quota."""
    opened: list[Database] = []

    def made(per_minute: int) -> Quotas:
        opened.append(Database(str(database.url.render_as_string(hide_password=False))))
        return Quotas(database=opened[-1], member_per_minute=per_minute, agreement_per_minute=per_minute)

    yield made
    for each in opened:
        each.close()


def let_in(quotas: Quotas, number: int, *, owner: str = "council") -> int:
    taken = (quotas.take(quotas.member, owner, now=MIDDAY) for _ in range(number))
    return sum(isinstance(each, Standing) for each in taken)


@pytest.mark.parametrize("per_minute", [1, 7, 300])
def test_many_threads_of_several_workers_are_let_in_no_more_often_than_the_quota(
    worker: Worker, per_minute: int
) -> None:
    workers = [worker(per_minute) for _ in range(3)]
    with ThreadPoolExecutor(6) as threads:
        admitted = sum(threads.map(lambda each: let_in(each, per_minute), workers * 2))
    lots_in_hand = (len(workers) * 2 - 1) * max(1, per_minute // 60)
    assert per_minute - lots_in_hand <= admitted <= per_minute
    assert [let_in(each, 3) for each in workers] == [0, 0, 0]


def test_one_worker_alone_gets_all_of_it_and_one_owner_costs_another_nothing(worker: Worker) -> None:
    quotas = worker(120)
    assert let_in(quotas, 130) == 120
    assert let_in(quotas, 130, owner="another council") == 120
    assert isinstance(quotas.take(quotas.unproved, "council", now=MIDDAY), Standing)


def test_the_next_minute_is_a_new_one(worker: Worker) -> None:
    quotas = worker(2)
    assert let_in(quotas, 5) == 2
    assert isinstance(quotas.take(quotas.member, "council", now=MIDDAY + timedelta(minutes=1)), Standing)


def test_most_requests_ask_the_database_nothing(worker: Worker, database: Database) -> None:
    quotas = worker(6000)
    asked: list[str] = []
    event.listen(quotas._database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert let_in(quotas, 300) == 300
    assert len([statement for statement in asked if "quota_windows" in statement]) == 3


def test_a_spent_quota_asks_the_database_nothing_and_is_told_once(worker: Worker) -> None:
    quotas = worker(1)
    let_in(quotas, 1)
    asked: list[str] = []
    event.listen(quotas._database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    told = [quotas.take(quotas.member, "council", now=MIDDAY) for _ in range(3)]
    assert asked == []
    assert [isinstance(each, Spent) and each.told_before for each in told] == [False, True, True]


def test_a_lot_of_a_transaction_that_was_rolled_back_was_never_taken(worker: Worker) -> None:
    quotas = worker(600)  # ten at a time

    def take_and_fail() -> None:
        with quotas._database.write() as session:
            assert isinstance(quotas.take(quotas.agreement, "DSA-1", now=MIDDAY, session=session), Standing)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        take_and_fail()
    with quotas._database.write() as session:
        quotas.take(quotas.agreement, "DSA-1", now=MIDDAY, session=session)
    admitted = 1
    while isinstance(quotas.take(quotas.agreement, "DSA-1", now=MIDDAY), Standing):
        admitted += 1
    assert admitted == 600


def test_the_fields_are_structured_and_say_how_a_quota_stands(worker: Worker) -> None:
    quotas = worker(120)
    taken = quotas.take(quotas.member, "council", now=MIDDAY + timedelta(seconds=18))
    assert isinstance(taken, Standing)
    fields = quotas.fields([taken])
    assert http_sf.parse(fields["RateLimit-Policy"].encode(), tltype="list") == [
        ("member", {"q": 120, "w": 60}),
        ("agreement", {"q": 120, "w": 60}),
    ]
    assert http_sf.parse(fields["RateLimit"].encode(), tltype="list") == [("member", {"r": 119, "t": 42})]
    assert "RateLimit" not in quotas.fields([])


def test_the_problem_names_the_policy_and_when_to_come_again(worker: Worker) -> None:
    quotas = worker(1)
    let_in(quotas, 1)
    spent = quotas.take(quotas.member, "council", now=MIDDAY + timedelta(seconds=45))
    assert isinstance(spent, Spent)
    error = QuotaExceeded(spent)
    assert error.retry_after == 15
    assert error.extensions["violated-policies"] == ["member"]
    assert quotas.fields([spent.standing])["RateLimit"] == '"member";r=0;t=15'


def test_counts_that_are_over_are_purged(worker: Worker, database: Database) -> None:
    let_in(worker(1), 1)
    with database.write() as session:
        assert purge_windows(session, now=MIDDAY) == 0
        assert purge_windows(session, now=MIDDAY + timedelta(minutes=6)) == 1
