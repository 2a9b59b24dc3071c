"""Makes the engine ``traced`` known to a session: ``pytest -p benchmarks.scaling.traced_plugin``."""

import os

from benchmarks.scaling.trace import FOLDER_VARIABLE

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.registry import Registry


def pytest_gpt_dist_register(registry: Registry) -> None:
    """Add the engine; UsageError where its ranks would not know where to leave their files."""
    if FOLDER_VARIABLE not in os.environ:
        raise UsageError(f"engine traced: set {FOLDER_VARIABLE} to the folder for the files of its ranks")
    registry.add_engine("traced", "benchmarks.scaling.traced_engine:TracedEngine")
