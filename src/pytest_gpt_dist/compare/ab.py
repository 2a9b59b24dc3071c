"""What a session saved of two sides, read as pairs of launches, judged, and described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from pytest_gpt_dist.compare.paired import Change, Pair, PairedCase, change, flagged, judge_paired, suspect
from pytest_gpt_dist.compare.verdict import Metric, Verdict
from pytest_gpt_dist.telemetry.disturbances import disturbing

METRICS: dict[str, Metric] = {"ttft": "ttft_s", "itl": "itl_p95_s"}
"""What else may gate, by the name that the option gives it."""

Saved = Sequence[Mapping[str, Mapping[str, float | None]]]
"""Pairs as they are saved: ``before`` and ``after``, each with the figures of one launch by metric."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What else differs between the sides of a case, described and not judged.

    Latencies are changes over the pairs that count; ``peak_memory_bytes`` and ``max_logit_error`` stand for
    before and after, of the rank that has most of it; None is what was not measured.
    """

    case: str
    ttft: Change | None
    itl_p95: Change | None
    peak_memory_bytes: tuple[int | None, int | None]
    max_logit_error: tuple[float | None, float | None]
    same_tokens: bool


def gated(gates: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics that can fail a session: seconds per token, and those asked for."""
    return ("seconds_per_token", *(METRICS[name] for name in gates))


def is_suspect(screening: Saved, metrics: Sequence[Metric], min_effect: float) -> bool:
    """Whether the case has to be confirmed."""
    return any(
        suspect(pairs, min_effect) is not None for metric in metrics if (pairs := _pairs(screening, metric))
    )


def is_flagged(confirmation: Saved, metrics: Sequence[Metric], min_effect: float) -> bool:
    """Whether a null control is worth its time."""
    return any(
        flagged(pairs, min_effect) is not None
        for metric in metrics
        if (pairs := _pairs(confirmation, metric))
    )


def judge_sides(
    cases: Sequence[tuple[str, Mapping[str, Any]]], min_effects: Mapping[str, float], gates: Sequence[str]
) -> list[Verdict]:
    """The verdicts of a session on cases given as (name, saved entries); all of them share one error level.

    A case whose other side could not be measured is `no-baseline`, and says why.
    """
    metrics = gated(gates)
    asked = [(name, info, metric) for name, info in cases for metric in metrics]
    paired = [_paired_case(name, info["against"], metric, min_effects[name]) for name, info, metric in asked]
    judged = iter(judge_paired([case for case in paired if case is not None]))
    verdicts = []
    for (name, info, metric), case in zip(asked, paired, strict=True):
        if case is None:
            verdicts.append(_not_measured(name, info, metric))
            continue
        verdict = replace(next(judged), metric=metric).doubted(_disturbances(info))
        if (problem := info["against"]["problem"]) is not None:
            verdict = replace(verdict, why=f"{verdict.why} ({problem})")
        verdicts.append(verdict)
    return verdicts


def describe_sides(cases: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Beside]:
    """What else differs, of the cases whose other side was measured."""
    return [_beside(name, info) for name, info in cases if info["against"]["screening"]]


def _pairs(saved: Saved, metric: Metric) -> tuple[Pair, ...]:
    """() where the metric does not exist: a single token has no gap."""
    values = [(pair["before"][metric], pair["after"][metric]) for pair in saved]
    return tuple(Pair(before, after) for before, after in values if before is not None and after is not None)


def _paired_case(
    name: str, against: Mapping[str, Any], metric: Metric, min_effect: float
) -> PairedCase | None:
    screening = _pairs(against["screening"], metric)
    if not screening:
        return None
    confirmation, null_control = (
        _pairs(against[part], metric) if suspect(screening, min_effect) is not None else ()
        for part in ("confirmation", "null_control")
    )
    return PairedCase(name, screening, confirmation, null_control, min_effect)


def _disturbances(info: Mapping[str, Any]) -> list[str]:
    """Of the launches of either side, the other one first."""
    sides = (("before", info["against"]), ("after", info))
    return [f"{side} {mark}" for side, saved in sides for mark in disturbing(saved.get("marks") or ())]


def _not_measured(name: str, info: Mapping[str, Any], metric: Metric) -> Verdict:
    problem = info["against"]["problem"]
    if problem is None:
        why = "a single new token leaves no gap to measure"
    else:
        why = f"the other side could not be measured: {problem}"
    return Verdict.without_baseline(name, "paired", _measured_s(info, metric), why, metric)


def _measured_s(info: Mapping[str, Any], metric: Metric) -> float | None:
    """The case's own figure of a metric; None where it has none."""
    if metric == "seconds_per_token":
        return 1 / float(info["tokens_per_s"])
    latency, figure = (info["ttft_s"], "mean") if metric == "ttft_s" else (info["itl_s"], "p95")
    return None if latency is None else float(latency[figure])


def _beside(name: str, info: Mapping[str, Any]) -> Beside:
    against = info["against"]
    counted = against["confirmation"] or against["screening"]
    ttft, itl = (_pairs(counted, metric) for metric in ("ttft_s", "itl_p95_s"))
    return Beside(
        case=name,
        ttft=change(ttft) if ttft else None,
        itl_p95=change(itl) if itl else None,
        peak_memory_bytes=(_peak(counted, "before"), _peak(counted, "after")),
        max_logit_error=(against["max_logit_error"], info["max_logit_error"]),
        same_tokens=against["tokens_sha256"] == info["tokens_sha256"],
    )


def _peak(pairs: Saved, side: str) -> int | None:
    """The median over launches of the largest rank's peak."""
    peaks: Iterable[float | None] = (pair[side]["peak_memory_bytes"] for pair in pairs)
    known = [peak for peak in peaks if peak is not None]
    return round(median(known)) if known else None
