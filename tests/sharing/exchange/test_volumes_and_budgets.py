"""A day's volume and a budget of questions are exact, however many count side by side."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from gateway.db import Database
from gateway.sharing.exchange.limits import volumes
from gateway.sharing.exchange.limits.budgets import earlier_queries, forget_query, purge_queries, record_query
from gateway.sharing.exchange.limits.volumes import CountedExchange, count_back, count_exchange
from gateway.sharing.exchange.models import QueryRow, QuotaRow
from tests.kit.clock import MIDDAY


def counted(database: Database, volume: int) -> CountedExchange:
    with database.write() as session:
        return count_exchange(session, agreement="DSA-1", volume=volume, now=MIDDAY)


@pytest.mark.parametrize("shared_out", [False, True])
def test_side_by_side_as_many_exchanges_are_counted_as_the_volume(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, shared_out: bool
) -> None:
    monkeypatch.setattr(volumes, "MANY", 1 if shared_out else 1000)
    monkeypatch.setattr(volumes, "COUNTERS", 4)
    with ThreadPoolExecutor(5) as threads:
        found = list(threads.map(lambda _: counted(database, 22), range(30)))
    assert sum(one.counter is not None for one in found) == 22
    assert all(one.before < 22 for one in found if one.counter is not None)
    assert {one.before for one in found if one.counter is None} == {22}
    with database.read() as session:
        assert session.scalar(select(func.sum(QuotaRow.used))) == 22


def test_what_is_given_back_can_be_counted_again_and_another_day_is_another(database: Database) -> None:
    first = counted(database, 1)
    assert counted(database, 1).counter is None
    with database.write() as session:
        count_back(session, first)
        count_back(session, CountedExchange(before=1))  # stood on no counter: nothing to give back
    assert counted(database, 1).counter is not None
    with database.write() as session:
        tomorrow = count_exchange(session, agreement="DSA-1", volume=1, now=MIDDAY + timedelta(days=1))
        assert tomorrow.before == 0
        assert tomorrow.counter is not None
        other = count_exchange(session, agreement="DSA-2", volume=1, now=MIDDAY)
        assert other.counter is not None


def ask(database: Database, subjects: Sequence[str], *, most: int = 3, minutes: int = 0) -> bool:
    """Ask once, if the budget allows it."""
    now = MIDDAY + timedelta(minutes=minutes)
    with database.write() as session:
        if earlier_queries(session, agreement="DSA-1", subjects=subjects, days=2, now=now) >= most:
            return False
        record_query(session, agreement="DSA-1", subjects=subjects, days=2, now=now)
        return True


def test_side_by_side_no_more_questions_are_asked_than_the_budget_has(database: Database) -> None:
    with ThreadPoolExecutor(5) as threads:
        # By number and fragment, or by the fragment alone: one person, whoever asks in which way.
        allowed = list(threads.map(lambda turn: ask(database, ("number", "fragment")[turn % 2 :]), range(12)))
    assert sum(allowed) == 3


def test_another_person_another_agreement_and_a_later_time_have_budgets_of_their_own(database: Database) -> None:
    assert [ask(database, ("somebody",)) for _ in range(4)] == [True, True, True, False]
    assert ask(database, ("somebody else",))
    assert not ask(database, ("somebody",), minutes=2 * 24 * 60 - 1)
    assert ask(database, ("somebody",), minutes=2 * 24 * 60)
    with database.write() as session:
        assert earlier_queries(session, agreement="DSA-2", subjects=("somebody",), days=2, now=MIDDAY) == 0


def test_a_question_given_back_counts_no_more_and_old_ones_are_purged(database: Database) -> None:
    with database.write() as session:
        question = record_query(session, agreement="DSA-1", subjects=("a", "b"), days=2, now=MIDDAY)
        forget_query(session, question)
        record_query(session, agreement="DSA-1", subjects=("a",), days=2, now=MIDDAY)
        assert earlier_queries(session, agreement="DSA-1", subjects=("a", "b"), days=2, now=MIDDAY) == 1
    with database.write() as session:
        assert purge_queries(session, now=MIDDAY + timedelta(days=2)) == 0
        assert purge_queries(session, now=MIDDAY + timedelta(days=2, seconds=1)) == 1
        assert session.scalar(select(func.count()).select_from(QueryRow)) == 0
