"""A document of 10 MB passes through a worker, on its way in and on its way out, and hardly shows in its memory."""

from pathlib import Path

import pytest

from benchmarks.attachment_memory import SIZE, rise_during_ten_megabytes
from tests.kit.world import World

pytestmark = pytest.mark.prove

ALLOWED = 2 * 1024 * 1024


def test_ten_megabytes_add_less_than_two_to_a_worker(world: World, tmp_path: Path) -> None:
    rise = rise_during_ten_megabytes(world, tmp_path)
    assert (tmp_path / "large.pdf").stat().st_size == SIZE
    assert rise.coming_in < ALLOWED
    assert rise.going_out < ALLOWED
