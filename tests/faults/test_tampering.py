"""Whoever changes what a running gateway has stored is found out by what an operator runs, place and all.

`tests/audit` holds each of these against each index, one by one.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, insert, select, update

from gateway.audit.commands import audit_group
from gateway.audit.models import EventRow, LogHeadRow
from gateway.settings import process_environment
from gateway.wire.merkle import leaf_hash
from tests.faults.conftest import StartWorld
from tests.faults.pressure import wait_until
from tests.kit.outsider import Outsider
from tests.kit.world import World

pytestmark = [pytest.mark.prove, pytest.mark.timeout(240)]

INDEX = 3
"""The entry that is tampered with."""

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one command said: its exit status, and the faults it named with their indexes."""

    status: int
    faults: list[tuple[str, int | None]]


@pytest.fixture(scope="module")
def world(start_world: StartWorld) -> Iterator[World]:
    """A world of these tests' own, with a few entries published: its open tile is its only one."""
    with start_world(workers=1) as running:
        running.officer()
        running.assert_log_verifies()
        yield running


def test_a_change_where_the_log_grows_stops_it_with_an_alert_until_it_is_undone(world: World) -> None:
    """The sequencer holds the rows of the open tile against what is published: it signs nothing over a changed one.

    The first of these tests: an alert that another change has given is not said again for a minute.
    """
    outsider = Outsider(location=world.settings.log_dir, vkey=world.gateway.log_key.encode())
    before = outsider.look()
    undo = edit_leaf(world)
    world.officer()  # something happens that has to be recorded
    wait_until(lambda: alerts_about(world, INDEX), within_seconds=30)
    assert outsider.look() == before, "nothing is signed over a changed row"
    told = subprocess.run(
        [sys.executable, "-m", "gateway", "audit", "verify"],
        env=process_environment(world.settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    assert f"entry {INDEX} " in told.stderr
    undo()
    wait_until(lambda: outsider.look() > before, within_seconds=60)
    world.assert_log_verifies()


def test_every_change_is_found_by_fsck_and_verify_and_its_index_named(world: World) -> None:
    assert fsck(world) == Found(status=0, faults=[])
    for name, (tamper, kind, index) in TAMPERINGS.items():
        undo = tamper(world)
        try:
            found = fsck(world)
            assert found.status == 1, name
            assert (kind, index) in found.faults, (name, found.faults)
            verified = command(world, "verify")
            assert verified.exit_code == 1, name
            assert index is None or str(index) in verified.output, (name, verified.output)
        finally:
            undo()
    assert fsck(world) == Found(status=0, faults=[])


def alerts_about(world: World, index: int) -> bool:
    log = world.layout.world_dir / "logs" / "gateway.log"
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return any((line.get("alert"), line.get("index")) == ("log_forked", index) for line in lines)


def fsck(world: World) -> Found:
    ended = command(world, "fsck", "--json")
    report = json.loads(ended.stdout)
    return Found(status=ended.exit_code, faults=[(item["fault"], item["index"]) for item in report["faults"]])


def command(world: World, *arguments: str) -> Result:
    """`gateway audit …`, in this process: starting one takes longer than what it then does."""
    return CliRunner().invoke(audit_group(world.gateway.audit_context), arguments)


# --- What is done to the database. Each returns what undoes it.


def edit_leaf(world: World) -> Undo:
    """One byte of an entry's row, its hash made to fit."""
    row = row_at(world, INDEX)
    leaf = row["leaf"].replace(b'"outcome":"done"', b'"outcome":"dune"')
    assert leaf != row["leaf"]
    return changed(world, INDEX, leaf=leaf, leaf_hash=leaf_hash(leaf))


def edit_details(world: World) -> Undo:
    """One byte of what is encrypted."""
    details = bytearray(row_at(world, INDEX)["details"])
    details[20] ^= 1
    return changed(world, INDEX, details=bytes(details))


def delete_row(world: World) -> Undo:
    """A row is gone."""
    row = row_at(world, INDEX)
    with world.gateway.database.write() as session:
        session.execute(delete(EventRow).where(EventRow.leaf_index == INDEX))

    def undo() -> None:
        with world.gateway.database.write() as session:
            session.execute(insert(EventRow), [row])

    return undo


def swap_rows(world: World) -> Undo:
    """Two rows change places."""

    def swap() -> None:
        with world.gateway.database.write() as session:
            # The index is unique: one of them steps aside first.
            for before, after in ((INDEX, 1_000_000), (INDEX + 1, INDEX), (1_000_000, INDEX + 1)):
                session.execute(update(EventRow).where(EventRow.leaf_index == before).values(leaf_index=after))

    swap()
    return swap


def row_at(world: World, index: int) -> dict[str, Any]:
    with world.gateway.database.read() as session:
        row = session.execute(select(EventRow.__table__).where(EventRow.leaf_index == index)).one()
        return dict(row._mapping)


def changed(world: World, index: int, **values: bytes) -> Undo:
    row = row_at(world, index)

    def change(**to: object) -> None:
        with world.gateway.database.write() as session:
            session.execute(update(EventRow).where(EventRow.leaf_index == index).values(**to))

    change(**values)
    return lambda: change(**{name: row[name] for name in values})


# --- What is done to the files.


def published(world: World, kind: str) -> Path:
    """The file of the open tile (`0`) or bundle (`entries`)."""
    with world.gateway.database.read() as session:
        size = session.get_one(LogHeadRow, 1).published_size
    return world.settings.log_dir / "tile" / kind / "000.p" / str(size)


def flip_in(kind: str, at: int) -> Callable[[World], Undo]:
    def tamper(world: World) -> Undo:
        return rewritten(published(world, kind), lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])

    return tamper


def cut_tile(world: World) -> Undo:
    """The tile ends after the first entries."""
    return rewritten(published(world, "0"), lambda data: data[: INDEX * 32])


def flip_checkpoint(world: World) -> Undo:
    """One byte of the signed root."""
    return rewritten(world.settings.log_dir / "checkpoint", lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:])


def rewritten(path: Path, alter: Callable[[bytes], bytes]) -> Undo:
    content = path.read_bytes()
    path.write_bytes(alter(content))

    def undo() -> None:
        path.write_bytes(content)

    return undo


TAMPERINGS: dict[str, tuple[Callable[[World], Undo], str, int | None]] = {
    "a byte of a row": (edit_leaf, "row", INDEX),
    "a byte of a row's details": (edit_details, "details", INDEX),
    "a row deleted": (delete_row, "row", INDEX),
    "two rows swapped": (swap_rows, "row", INDEX),
    "a byte of a tile": (flip_in("0", INDEX * 32 + 5), "entry", INDEX),
    "a byte of a bundle": (flip_in("entries", 40), "entry", 0),
    "a tile cut short": (cut_tile, "tile", 0),
    "a byte of the checkpoint": (flip_checkpoint, "checkpoint", None),
}
"""By name: what is done, and the fault and index that `fsck` names."""
