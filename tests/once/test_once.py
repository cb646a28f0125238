"""Of any number of claims to the same value, exactly one succeeds."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from gateway.db import Database
from gateway.once.once import Claim, first_uses, purge_used

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def claim(value: str, *, owner: str = "portal", kind: str = "assertion", seconds: int = 60) -> Claim:
    return Claim(kind=kind, owner=owner, value=value, expires_at=NOW + timedelta(seconds=seconds))


def claimed(database: Database, *claims: Claim) -> list[bool]:
    with database.write() as session:
        return first_uses(session.connection(), claims)


def test_each_value_is_claimed_once_by_each_owner_and_for_each_kind(database: Database) -> None:
    assert claimed(database, claim("a"), claim("b"), claim("a")) == [True, True, False]
    assert claimed(database, claim("b"), claim("c"), claim("a")) == [False, True, False]
    assert claimed(database, claim("a", owner="other"), claim("a", kind="nonce")) == [True, True]


@pytest.mark.parametrize("value", ["", "\ud800", "naïve ☃"])
def test_any_text_is_a_value(database: Database, value: str) -> None:
    assert claimed(database, claim(value)) == [True]
    assert claimed(database, claim(value)) == [False]


def test_claims_made_together_in_any_order_give_each_value_to_one(database: Database) -> None:
    values = [str(number) for number in range(20)]

    def claim_all(turn: int) -> list[tuple[str, bool]]:
        ordered = values if turn % 2 else values[::-1]
        return list(zip(ordered, claimed(database, *(claim(value) for value in ordered)), strict=True))

    with ThreadPoolExecutor(6) as threads:
        told = [pair for turn in threads.map(claim_all, range(12)) for pair in turn]
    assert sorted(value for value, first in told if first) == sorted(values)


def test_a_value_is_free_again_once_its_time_is_over_and_purged(database: Database) -> None:
    claimed(database, claim("a", seconds=-1), claim("b"))
    with database.write() as session:
        assert purge_used(session, now=NOW) == 1
    assert claimed(database, claim("a"), claim("b")) == [True, False]
