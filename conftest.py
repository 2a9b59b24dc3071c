"""What the tests need before any of them is collected, and how `pytest-benchmark compare` groups its rows here."""

from typing import Any

import pytest

pytest_plugins = ["pytester"]


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_group_stats(config: Any, benchmarks: Any, group_by: str) -> Any:
    """One table for each workload; pytest-benchmark's command reads this file alone."""
    from pytest_gpt_dist.grouping import group_by_workload  # noqa: PLC0415  as in benchmarks/conftest.py

    return group_by_workload(config, benchmarks, group_by)
