"""A document of 10 MB passes through a worker, on its way in and on its way out, and hardly shows in its memory."""

from pathlib import Path

import pytest

from tests.conformance.attached import ask, attached
from tests.faults.pressure import web_workers
from tests.kit.attaching_department import FIELD
from tests.kit.memory import watching_memory
from tests.kit.world import World

pytestmark = pytest.mark.prove

TEN_MEGABYTES = 10 * 1024 * 1024
ALLOWED = 2 * 1024 * 1024
WARMING_UP = 12
"""Small documents, so that every worker has had some: what a first one takes stays taken."""


def test_ten_megabytes_add_less_than_two_to_a_worker(world: World, tmp_path: Path) -> None:
    small, large = attached(world, size=200_000), attached(world, size=TEN_MEGABYTES, answer_seconds=30.0)
    for _ in range(WARMING_UP):
        ask(world, small).attachments[FIELD].save(tmp_path / "letter.pdf")
    workers = web_workers(world)
    with watching_memory(workers) as coming_in:
        answer = ask(world, large)
    with watching_memory(workers) as going_out:
        answer.attachments[FIELD].save(tmp_path / "letter.pdf")
    assert (tmp_path / "letter.pdf").stat().st_size == TEN_MEGABYTES
    print(f"grown by at most: coming in {coming_in.most:,} bytes, going out {going_out.most:,} bytes")
    assert coming_in.most < ALLOWED
    assert going_out.most < ALLOWED
