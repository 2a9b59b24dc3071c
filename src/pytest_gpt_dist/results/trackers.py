"""Saved cases in the formats of other people's trackers, which keep a number over time and say when it jumps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.results import checked
from pytest_gpt_dist.results.heading import LONGEST_SERIES, series
from pytest_gpt_dist.results.result_format import format_of
from pytest_gpt_dist.results.saved import SavedCase

FORMATS = ("github-action-benchmark", "bencher")
_MEASURES = {"latency_s": "latency", "ttft_s": "time-to-first-token", "tpot_s": "time-per-output-token"}
"""What Bencher calls latencies: its own name where it has one, which it keeps in nanoseconds."""
_NS_PER_S = 1e9
Entries = Mapping[str, Any]


def series_of(case: SavedCase) -> str:
    """Return the name of a case's series, also of one that was saved before there were such names."""
    named = case.info.get("series")
    return series(case.test, case.info) if named is None else one_line(checked.name(named), LONGEST_SERIES)


def newest(cases: Iterable[tuple[str, SavedCase]]) -> dict[str, SavedCase]:
    """Return the case of each series that was saved last, of two of one time the later one."""
    latest: dict[str, SavedCase] = {}
    for name, case in cases:
        if name not in latest or case.saved_at >= latest[name].saved_at:
            latest[name] = case
    return latest


def github_action_benchmark(name: str, info: Entries, figure: str | None) -> dict[str, Any] | None:
    """Return an entry of github-action-benchmark's custom formats; None for a latency that was not measured.

    It is of ``customBiggerIsBetter`` for the throughput, which is the figure where none is asked for, and of
    ``customSmallerIsBetter`` for a latency.
    """
    form = format_of(info)
    if figure is None or figure == form.throughput:
        value, slowest, fastest = _throughput(info)
        entry = {"name": name, "unit": form.rate, "value": value, "range": f"{slowest:.6g} to {fastest:.6g}"}
    else:
        latency = checked.maybe(checked.entries, info.get(figure))
        if latency is None:
            return None
        value, p99 = checked.positive(latency["mean"]), checked.positive(latency["p99"])
        entry = {"name": name, "unit": "s", "value": value, "range": f"p99 {p99:.6g}"}
    return entry | {"extra": _beside(info)}


def bencher(info: Entries) -> dict[str, dict[str, float]]:
    """Return the measures of a benchmark in Bencher Metric Format: throughput, latencies in nanoseconds."""
    value, slowest, fastest = _throughput(info)
    measures = {"throughput": {"value": value, "lower_value": slowest, "upper_value": fastest}}
    for figure, measure in _MEASURES.items():
        latency = checked.maybe(checked.entries, info.get(figure))
        if latency is not None:
            mean, p99 = (checked.positive(latency[key]) * _NS_PER_S for key in ("mean", "p99"))
            # A mean may lie beyond its p99, a value may not lie beyond its bound.
            measures[measure] = {"value": mean, "upper_value": max(mean, p99)}
    return measures


def _throughput(info: Entries) -> tuple[float, float, float]:
    """Work per second of all rounds, of the slowest one and of the fastest one."""
    value = checked.positive(info[format_of(info).throughput])
    rounds = [1 / sample for launch in checked.launches(info["launches"]) for sample in launch]
    return value, min(value, *rounds), max(value, *rounds)


def _beside(info: Entries) -> str:
    """Return what one wants to know of a point that jumped, one a line."""
    form = format_of(info)
    lines = {
        "rounds": sum(map(len, checked.launches(info["launches"]))),
        "speed-up": checked.maybe(checked.number, info["speedup"]),
        "efficiency": checked.maybe(checked.number, info["efficiency"]),
        f"largest error of {form.error_of}": checked.maybe(checked.number, info.get(form.error)),
        "marks": ", ".join(checked.names(info["marks"])) or None,
    }
    return "\n".join(f"{name}: {_figure(value)}" for name, value in lines.items() if value is not None)


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
