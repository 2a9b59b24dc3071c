"""A case's figures as the properties of its test, which JUnit files, pytest-html and json-report show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gpt_dist.results.heading import degrees

_WHAT = ("series", "engine", "strategy", "gpus", "model", "dtype", "device_name")
_LATENCIES = ("latency_s", "ttft_s", "tpot_s", "itl_s")
_RATIOS = ("speedup", "efficiency", "max_logit_error")

Properties = list[tuple[str, object]]


def properties(info: Mapping[str, Any]) -> Properties:
    """Return what ran and how fast: numbers as numbers, means of latencies, and nothing of what was not measured."""
    latencies = {name: info[name] and info[name]["mean"] for name in _LATENCIES}
    found = {
        **{name: info[name] for name in _WHAT},
        "layout": degrees(info["layout"]),
        "tokens_per_s": info["tokens_per_s"],
        **latencies,
        **{name: info[name] for name in _RATIOS},
        "marks": ", ".join(info["marks"]) or None,
    }
    return [(name, value) for name, value in found.items() if value is not None]
