"""What the tests need before any of them is collected, and how `pytest-benchmark compare` groups its rows here."""

from typing import Any

import pytest

pytest_plugins = ["pytester"]


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_group_stats(config: Any, benchmarks: Any, group_by: str) -> Any:
    """Group by workload, then as `--group-by` says."""
    # Not at the top: `pytest-benchmark compare` reads this file first and pytest's settings later, and then
    # pytest warns of a plugin that has been imported already.
    from pytest_gpt_dist.grouping import group_by_workload  # noqa: PLC0415

    return group_by_workload(config, benchmarks, group_by)
