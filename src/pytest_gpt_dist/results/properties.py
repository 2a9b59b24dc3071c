"""A case's figures as the properties of its test, which JUnit files, pytest-html and json-report show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gpt_dist.results.heading import degrees
from pytest_gpt_dist.results.result_format import format_of

_WHAT = ("series", "engine", "strategy", "gpus", "model", "dtype", "device_name")
_RATIOS = ("speedup", "efficiency")

Properties = list[tuple[str, object]]


def properties(info: Mapping[str, Any]) -> Properties:
    """Return what ran and how fast: numbers as numbers, means of latencies, and nothing of what was not measured."""
    form = format_of(info)
    latencies = [metric.name for metric in form.figures if metric.kind == "latency"]
    numbers = [metric.name for metric in form.further if metric.kind == "figure"]
    found = {
        **{name: info.get(name) for name in _WHAT},
        "layout": degrees(info["layout"]),
        form.throughput: info[form.throughput],
        **{name: info[name] and info[name]["mean"] for name in latencies},
        **{name: info.get(name) for name in (*numbers, *_RATIOS, form.error)},
        "marks": ", ".join(info["marks"]) or None,
    }
    return [(name, value) for name, value in found.items() if value is not None]
