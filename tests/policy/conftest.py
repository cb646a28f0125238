"""A copy of the shipped policies that a test may spoil."""

import shutil
from pathlib import Path

import pytest

from tests.kit.policies import POLICIES


@pytest.fixture
def copied_policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))
