"""What is over is deleted by its index, in batches, with pauses, and without waiting for anybody."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, event, select

from gateway.db import Base
from gateway.oidc.clients.models import ClientSecretRow
from gateway.oidc.models import AuthorizationRow, ClientSessionRow, RefreshTokenRow
from gateway.once.once import purge_used
from gateway.purge_command import purge_command
from gateway.purging import GROWTHS, Growth, Purging, sessions
from gateway.sharing.exchange.models import ExchangeRow
from tests.kit.clock import FrozenClock
from tests.kit.grown import EXPIRING, Amounts, counted, counts, grow
from tests.kit.oidc_world import OidcWorld, assembled, settings_for

EACH = 8


@pytest.fixture
def world(
    _databases: Callable[[], AbstractContextManager[str]], tmp_path: Path, clock: FrozenClock
) -> Iterator[OidcWorld]:
    """A gateway that nobody serves, with rows that are over and rows that are not in every table that grows."""
    with _databases() as url:
        world = assembled(settings_for(database_url=url, state_dir=tmp_path / "state", port=1), clock)
        grow(world, Amounts.alike(EACH), expires_at=clock.now() - timedelta(seconds=1))
        grow(world, Amounts.alike(EACH), expires_at=clock.now() + timedelta(seconds=1))
        yield world
        world.gateway.database.close()


def growths(world: OidcWorld) -> tuple[Growth, ...]:
    return (*GROWTHS, sessions(world.gateway.people.ends))


def purging(world: OidcWorld, *purged: Growth, pauses: list[float] | None = None, stop: bool = False) -> Purging:
    def pause(seconds: float) -> bool:
        if pauses is not None:
            pauses.append(seconds)
        return stop

    return Purging(database=world.gateway.database, growths=purged, now=world.clock.now, pause=pause)


def in_batches_of(growth: Growth, rows: int) -> Growth:
    return replace(growth, batch=rows)


def test_all_that_is_over_goes_and_nothing_else(world: OidcWorld) -> None:
    everything = purging(world, *growths(world))
    while everything.run_once():  # once more for what others hung from
        pass
    over, live = counts(world.gateway.database, over_by=world.clock.now())
    assert over == {row.__tablename__: 0 for row in EXPIRING}
    assert live == {row.__tablename__: EACH for row in EXPIRING}
    assert counted(world.gateway.database, ClientSessionRow) == 2 * EACH


def test_everything_with_an_expiry_is_purged() -> None:
    # A client's secrets are forgotten when it is given a new one, so there are two of a client at most.
    purged = {*(row.__tablename__ for row in EXPIRING), ClientSecretRow.__tablename__}
    assert {table.name for table in Base.metadata.sorted_tables if "expires_at" in table.columns} == purged


def test_what_goes_with_another_row_is_found_by_an_index() -> None:
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.ondelete is not None:
                assert any(index.columns[0] is key.parent for index in table.indexes), key


def test_every_statement_finds_its_rows_by_an_index(world: OidcWorld) -> None:
    grow(world, replace(Amounts.alike(0), answers=EACH), expires_at=world.clock.now())
    database = world.gateway.database
    for growth in growths(world):
        asked = []
        with database.write() as session:
            connection = session.connection()

            def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_context: Any) -> None:
                if not statement.startswith("INSERT"):
                    asked.append((statement, given))  # noqa: B023 - it is called within the turn of the loop

            event.listen(connection, "before_cursor_execute", note)
            assert growth.purge(session, now=world.clock.now(), limit=5) > 0, growth.name
            event.remove(connection, "before_cursor_execute", note)
            assert len(asked) > 1
            for statement, given in asked:
                assert_by_index(connection, statement, given)


def test_no_batch_is_larger_than_it_may_be(world: OidcWorld) -> None:
    grow(world, replace(Amounts.alike(0), answers=EACH), expires_at=world.clock.now())
    for growth in growths(world):
        sizes: list[int] = []
        while sizes[-1:] != [0]:
            with world.gateway.database.write() as session:
                sizes.append(growth.purge(session, now=world.clock.now(), limit=3))
        assert max(sizes) == 3, growth.name
        assert sum(sizes) == EACH, growth.name


def test_kept_answers_are_forgotten_and_what_they_answered_is_not(world: OidcWorld) -> None:
    grow(world, replace(Amounts.alike(0), answers=EACH), expires_at=world.clock.now())
    database = world.gateway.database
    tokens = counted(database, RefreshTokenRow)
    purging(world, *(growth for growth in GROWTHS if growth.name.startswith("answers"))).run_once()
    assert counted(database, RefreshTokenRow, RefreshTokenRow.sealed_answer.is_not(None)) == 0
    assert counted(database, ExchangeRow, ExchangeRow.answer.is_not(None)) == 0
    answered = counted(database, ExchangeRow, ExchangeRow.answer_status.is_not(None))
    assert (counted(database, RefreshTokenRow), answered) == (tokens, EACH)


def test_while_more_is_waiting_it_goes_on_and_leaves_the_others_half_of_the_time(world: OidcWorld) -> None:
    pauses: list[float] = []
    told: list[tuple[str, int]] = []
    growth = [in_batches_of(growth, 3) for growth in GROWTHS[:2]]
    purging_both = replace(purging(world, *growth, pauses=pauses), told=lambda name, rows: told.append((name, rows)))
    began = time.perf_counter()
    assert purging_both.run_once() == 2 * EACH
    took = time.perf_counter() - began
    # In turns, so that neither waits for the whole of the other.
    assert told == [(name, rows) for rows in (3, 3, 2) for name in ("used_once", "access_tokens")]
    assert len(pauses) == len(told)
    assert 0 < sum(pauses) <= took


def test_families_wait_for_the_whole_backlog_of_tokens(world: OidcWorld) -> None:
    told: list[str] = []
    growth = [in_batches_of(growth, 3) for growth in GROWTHS[1:4]]
    replace(purging(world, *growth), told=lambda name, _rows: told.append(name)).run_once()
    assert told.index("authorizations") > max(told.index(name) + 1 for name in ("access_tokens", "refresh_tokens"))


def test_an_operator_purges_to_the_end_and_reads_how_much_that_was(world: OidcWorld) -> None:
    result = CliRunner().invoke(purge_command(lambda: world.gateway))
    assert result.exit_code == 0, result.output
    told = [line for line in result.output.splitlines() if "[debug" not in line]  # logs are not set up in this process
    assert told == [
        *sorted(f"{row.__tablename__}: {EACH} rows" for row in EXPIRING),
        "nothing is left that is over",
    ]
    over, live = counts(world.gateway.database, over_by=world.clock.now())
    assert (sum(over.values()), sum(live.values())) == (0, EACH * len(EXPIRING))


def test_it_stops_when_it_is_told_to(world: OidcWorld) -> None:
    assert purging(world, in_batches_of(GROWTHS[0], 3), stop=True).run_once() == 3


@pytest.mark.postgresql
def test_a_row_that_somebody_holds_is_left_alone_and_lives_if_its_end_is_put_off(world: OidcWorld) -> None:
    database = world.gateway.database
    over = AuthorizationRow.expires_at < world.clock.now()
    while purging(world, *GROWTHS[1:3]).run_once():
        pass
    with database.write() as holder:
        held = holder.scalars(select(AuthorizationRow).where(over).limit(1).with_for_update()).one()
        held.expires_at = world.clock.now() + timedelta(days=1)
        holder.flush()
        # Another process purges meanwhile. It would wait here for ever, did it wait at all.
        assert purging(world, GROWTHS[3]).run_once() == EACH - 1
    assert purging(world, GROWTHS[3]).run_once() == 0
    assert counted(database, AuthorizationRow) == EACH + 1


@pytest.mark.postgresql
def test_two_that_purge_at_once_share_the_rows(world: OidcWorld) -> None:
    database, now = world.gateway.database, world.clock.now()
    with database.write() as one, database.write() as other:
        assert purge_used(one, now=now, limit=5) == 5
        assert purge_used(other, now=now, limit=5) == EACH - 5


def assert_by_index(connection: Connection, statement: str, given: Any) -> None:
    """Fail unless every table of the statement is looked into by an index with a condition on it."""
    if connection.dialect.name == "sqlite":
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
        scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT ROW" not in step]
        assert not scans, (statement[:200], plan)
        return
    # The tables are small: only where there is no other way are they read from end to end.
    for way in ("seqscan", "hashjoin", "mergejoin"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    ((document,),) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", given)
    for node in nodes(document[0]["Plan"]):
        assert node["Node Type"] != "Seq Scan", (statement[:200], document)
        if node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}:
            assert "Index Cond" in node, (statement[:200], document)


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
