"""Journeys take the time that people and processes take."""

import pytest

LONGEST_SECONDS = 180


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "journeys" in item.path.parts:
            item.add_marker(pytest.mark.timeout(LONGEST_SECONDS))
