"""What a session saved of two sides, read as pairs of launches, judged, and described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from pytest_gpt_dist.compare.paired import (
    Change,
    Order,
    Pair,
    PairedCase,
    change,
    confirmation_order,
    flagged,
    judge_paired,
    pairs_a_datum,
    suspect,
)
from pytest_gpt_dist.compare.verdict import JudgedTime, Verdict
from pytest_gpt_dist.results.result_format import format_of
from pytest_gpt_dist.telemetry.disturbances import weighed

Saved = Sequence[Mapping[str, Mapping[str, float | None]]]
"""Pairs as they are saved: ``before`` and ``after``, each with the figures of one launch by metric."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What else differs between the sides of a case, described and not judged.

    ``changes`` are of latencies, by their label, over the pairs that count. ``peak_memory_bytes`` and ``error`` stand
    for before and after, of the rank that has most of it; None is what was not measured. ``error_of`` names what the
    error is of, ``works`` what was made, of which ``same_output`` says whether it is equal; None where nobody knows.
    """

    case: str
    changes: tuple[tuple[str, Change | None], ...]
    peak_memory_bytes: tuple[int | None, int | None]
    error: tuple[float | None, float | None]
    error_of: str
    same_output: bool | None
    works: str


def is_suspect(screening: Saved, times: Sequence[JudgedTime], min_effect: float) -> bool:
    """Whether the case has to be confirmed."""
    return any(
        suspect(pairs, min_effect) is not None for time in times if (pairs := _pairs(screening, time.key))
    )


def is_flagged(confirmation: Saved, times: Sequence[JudgedTime], min_effect: float) -> bool:
    """Whether a null control is worth its time."""
    return any(
        flagged(pairs, min_effect) is not None for time in times if (pairs := _pairs(confirmation, time.key))
    )


def confirmation_of(screening: Saved, times: Sequence[JudgedTime], pair_s: float) -> Order:
    """Return who runs first in each pair of the confirmation: as many as the noisiest of what is judged demands."""
    noise = [pairs_a_datum(pairs, pair_s) for time in times if (pairs := _pairs(screening, time.key))]
    return confirmation_order(max(noise, default=1))


def judge_sides(
    cases: Sequence[tuple[str, Mapping[str, Any]]], min_effects: Mapping[str, float], gates: Sequence[str]
) -> list[Verdict]:
    """Return the verdicts of a session on cases given as (name, saved entries); all of them share one error level.

    A case whose other side could not be measured is `no-baseline`, and says why.
    """
    asked = [(name, info, time) for name, info in cases for time in JudgedTime.of(format_of(info), gates)]
    paired = [_paired_case(name, info["against"], time.key, min_effects[name]) for name, info, time in asked]
    judged = iter(judge_paired([case for case in paired if case is not None]))
    verdicts = []
    for (name, info, time), case in zip(asked, paired, strict=True):
        if case is None:
            verdicts.append(_not_measured(name, info, time).on(time))
            continue
        verdict = next(judged).on(time).doubted(_disturbances(info))
        if (problem := info["against"]["problem"]) is not None:
            verdict = replace(verdict, why=f"{verdict.why} ({problem})")
        verdicts.append(verdict)
    return verdicts


def describe_sides(cases: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Beside]:
    """Return what else differs, of the cases whose other side was measured."""
    return [_beside(name, info) for name, info in cases if info["against"]["screening"]]


def _pairs(saved: Saved, metric: str) -> tuple[Pair, ...]:
    """() where the case has no such latency."""
    values = [(pair["before"][metric], pair["after"][metric]) for pair in saved]
    return tuple(Pair(before, after) for before, after in values if before is not None and after is not None)


def _paired_case(name: str, against: Mapping[str, Any], metric: str, min_effect: float) -> PairedCase | None:
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
    return [f"{side} {mark}" for side, saved in sides for mark in weighed(saved.get("marks") or ())[1]]


def _not_measured(name: str, info: Mapping[str, Any], time: JudgedTime) -> Verdict:
    gate = format_of(info).gate(time.key)
    if (problem := info["against"]["problem"]) is not None:
        why = f"the other side could not be measured: {problem}"
    else:
        why = gate.absent if gate is not None else "nothing was measured in pairs"
    return Verdict.without_baseline(name, "paired", _measured_s(info, time), why)


def _measured_s(info: Mapping[str, Any], time: JudgedTime) -> float | None:
    """Return the case's own figure; None where it has none."""
    form = format_of(info)
    for metric in form.metrics:
        if metric.gate is not None and metric.gate.key == time.key:
            return metric.gate.of(info[metric.name])
    return 1 / float(info[form.throughput])


def _beside(name: str, info: Mapping[str, Any]) -> Beside:
    against, form = info["against"], format_of(info)
    counted = against["confirmation"] or against["screening"]
    pairs = [(gate.label, _pairs(counted, gate.key)) for gate in form.gates]
    return Beside(
        case=name,
        changes=tuple((label, change(found) if found else None) for label, found in pairs),
        peak_memory_bytes=(_peak(counted, "before"), _peak(counted, "after")),
        error=(against[form.error], info[form.error]) if form.error else (None, None),
        error_of=form.error_of,
        same_output=against[form.output] == info[form.output] if form.output else None,
        works=form.works,
    )


def _peak(pairs: Saved, side: str) -> int | None:
    """Return the median over launches of the largest rank's peak."""
    peaks: Iterable[float | None] = (pair[side]["peak_memory_bytes"] for pair in pairs)
    known = [peak for peak in peaks if peak is not None]
    return round(median(known)) if known else None
