"""The order of the tests, and that none of them is judged by the clock."""

import pytest
from hypothesis import settings

settings.register_profile("without_clock", deadline=None)
settings.load_profile("without_clock")

LONG = ("plugin", "cluster", "inference")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose sessions and ranks take long, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)
