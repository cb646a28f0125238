"""Each write, fsync and rename fails once (EIO, ENOSPC), and the process that met it goes on without a restart."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.audit.append import Entry
from gateway.db import Database
from gateway.wire.tiles import TILE_WIDTH
from tests.faults.apart import STRIDE, apart, recorder, sequence_until_quiet
from tests.kit.log import TestLog
from tests.kit.outsider import Outsider
from tests.kit.strace import fails_at, run_with_faults

pytestmark = [pytest.mark.prove, pytest.mark.timeout(300)]

NEW = 12
FAILING = {
    "EIO": ("write", "pwrite64", "fsync", "fdatasync", "rename", "mkdir", "unlinkat"),
    "ENOSPC": ("write", "pwrite64", "mkdir"),
}


@pytest.mark.parametrize("error", FAILING)
def test_a_sequencer_whose_call_failed_publishes_all_the_same(log: TestLog, tmp_path: Path, error: str) -> None:
    outsider, recorded, failed = Outsider(location=log.files, vkey=log.vkey), list[Entry](), Counter[str]()
    for call in FAILING[error]:
        for number in count(1):
            # Over the edge of a tile: every kind of file is written, and something is deleted too.
            recorded += log.record((TILE_WIDTH - NEW // 2 - len(recorded)) % TILE_WIDTH)
            log.publish()
            recorded += log.record(NEW)
            ended = run_with_faults(
                apart(log, sequence_until_quiet), fails_at(call, number, error=error), output=tmp_path / "calls"
            )
            assert ended.status == 0
            assert outsider.look() == len(recorded), "it did not recover by itself"
            if not ended.struck:
                break
            failed[call] += 1
    assert_some_failed(failed, log)
    log.assert_verifies(recorded, exactly=True)


@pytest.mark.parametrize("error", FAILING)
def test_what_could_not_be_made_durable_is_not_acknowledged(log: TestLog, tmp_path: Path, error: str) -> None:
    """It may stand in the log all the same: a write that failed may have persisted. Then it does so once."""
    outsider, acknowledged, failed = Outsider(location=log.files, vkey=log.vkey), set[UUID](), Counter[str]()
    with recorder() as recording:
        for call in FAILING[error]:
            for number in count(1, STRIDE.get(call, 1)):
                recording.newcomer = f"newcomer to {call} {number}"
                ended = run_with_faults(
                    apart(log, recording.record_some), fails_at(call, number, error=error), output=tmp_path / "calls"
                )
                assert ended.status == 0
                told = recording.acknowledged()
                acknowledged |= told
                log.publish()
                outsider.look()
                if not ended.struck:
                    assert len(told) == 4
                    break
                failed[call] += 1
    assert_some_failed(failed, log)
    log.assert_verifies()
    assert {str(event) for event in acknowledged} <= set(outsider.events)
    with log.database.read() as session:
        assert all(log.audit.details_of(session, event) for event in acknowledged)


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (Path, "rename"), (Database, "write")])
def test_what_failed_but_had_happened_is_not_published_twice(
    log: TestLog, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """The sequencer is told of a failure though the rename, or the commit, was done: no strace does that, so we do."""
    outsider, recorded, failed = Outsider(location=log.files, vkey=log.vkey), list[Entry](), 0
    for number in count(1):
        recorded += log.record((TILE_WIDTH - NEW // 2 - len(recorded)) % TILE_WIDTH)
        log.publish()
        recorded += log.record(NEW)
        with monkeypatch.context() as patch:
            lied = lie_once(patch, owner, name, at_call=number)
            sequence_until_quiet(log)
        assert outsider.look() == len(recorded)
        if not lied():
            break
        failed += 1
    assert failed >= 2
    log.assert_verifies(recorded, exactly=True)


def lie_once(patch: pytest.MonkeyPatch, owner: Any, name: str, *, at_call: int) -> Callable[[], bool]:
    """Let one call be done and fail all the same; tells later whether it came to that."""
    original, calls = getattr(owner, name), count(1)
    lied: list[int] = []

    def happened() -> None:
        if next(calls) == at_call:
            lied.append(at_call)
            raise OSError(errno.EIO, "it was done, but this is what you are told")

    def called(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        happened()
        return result

    @contextmanager
    def entered(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with original(*args, **kwargs) as value:
            yield value
        happened()

    patch.setattr(owner, name, entered if owner is Database else called)
    return lambda: bool(lied)


def assert_some_failed(failed: Counter[str], log: TestLog) -> None:
    """Something failed at files, and on SQLite at the database's: else nothing was proved."""
    assert {"write", *({"pwrite64"} if log.database.is_sqlite else set())} <= set(failed), failed
    print(f"failed: {dict(failed)}")  # noqa: T201 - shown with `pytest -s`: how many places there were
