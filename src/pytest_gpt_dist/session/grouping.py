"""One table for each workload in pytest-benchmark's own tables; for a hook in a ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_benchmark.plugin import pytest_benchmark_group_stats as as_ever

from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.results.checked import UNREADABLE
from pytest_gpt_dist.results.heading import workload
from pytest_gpt_dist.results.saved import is_ours


def group_by_workload(
    config: Any, benchmarks: Iterable[dict[str, Any]], group_by: str
) -> list[tuple[str | None, list[dict[str, Any]]]]:
    """Return what ``pytest_benchmark_group_stats`` returns: grouped by workload first, then as ``--group-by`` says.

    Benchmarks of others are grouped as ever.
    """
    parts: dict[str, list[dict[str, Any]]] = {}
    for benchmark in benchmarks:
        parts.setdefault(_heading(benchmark), []).append(benchmark)
    return [
        (" · ".join(filter(None, (heading, group))) or None, rows)
        for heading, part in sorted(parts.items())
        for group, rows in as_ever(config, part, group_by)  # type: ignore[no-untyped-call]
    ]


def _heading(benchmark: Any) -> str:
    """Return the workload; of others' benchmarks, and of what is damaged, none."""
    try:
        info = benchmark["extra_info"]
        return one_line(workload(info)) if is_ours(info) else ""
    except UNREADABLE:
        return ""
