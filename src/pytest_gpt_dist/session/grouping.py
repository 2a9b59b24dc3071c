"""One table for each workload in pytest-benchmark's own tables; for a hook in a ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_benchmark.plugin import pytest_benchmark_group_stats as as_ever

from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.results.checked import UNREADABLE
from pytest_gpt_dist.results.saved import is_ours

_NEEDED = {
    "model",
    "dtype",
    "weights",
    "scaling",
    "batch_size",
    "prompt_tokens",
    "new_tokens",
    "sampling",
    "device_name",
}


def group_by_workload(
    config: Any, benchmarks: Iterable[dict[str, Any]], group_by: str
) -> list[tuple[str | None, list[dict[str, Any]]]]:
    """What ``pytest_benchmark_group_stats`` returns: grouped by workload first, then as ``--group-by`` says.

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


def workload(info: Mapping[str, Any]) -> str:
    """What was run on what, as a heading; empty for a benchmark that is none of this package's."""
    if not info.keys() >= _NEEDED:
        return ""
    words = [
        info["model"],
        *([] if info["weights"] == "random" else [info["weights"]]),
        info["dtype"],
        info["scaling"],
        f"batch {info['batch_size']}",
        *([] if info.get("batching", "in-order") == "in-order" else [info["batching"]]),
        f"{_lengths(info['prompt_tokens'])} + {_lengths(info['new_tokens'])} tokens",
        *_sampling(info["sampling"]),
        info["device_name"],
    ]
    return " · ".join(words)


def _lengths(tokens: int | Sequence[int]) -> str:
    return str(tokens) if isinstance(tokens, int) else f"{min(tokens)}…{max(tokens)}"


def _sampling(sampling: Mapping[str, Any]) -> list[str]:
    usual = {"greedy": sampling["greedy"], "repetition_penalty": 1}
    return [
        f"{name.replace('_', ' ')} {value}"
        for name, value in sampling.items()
        if value is not None and value != usual.get(name)
    ]
