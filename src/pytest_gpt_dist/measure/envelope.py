"""From launches to a result: the entries that every mode saves, with those of its own among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.measure.mode import CaseSpec, CaseT, CheckedT, Mode
from pytest_gpt_dist.measure.profile import profile_entry
from pytest_gpt_dist.measure.result import Launch, Result
from pytest_gpt_dist.measure.rounds import Reading
from pytest_gpt_dist.measure.statistics import drift, launch_datum, throughput
from pytest_gpt_dist.measure.time_lost import time_lost
from pytest_gpt_dist.results.metrics import SCHEMA
from pytest_gpt_dist.results.result_format import ResultFormat
from pytest_gpt_dist.telemetry.disturbances import disturbance_marks
from pytest_gpt_dist.telemetry.observation import Observation
from pytest_gpt_dist.telemetry.summary import summarize


def make_result(
    mode: Mode[CaseT, CheckedT],
    case: CaseT,
    machine: Machine,
    checked: CheckedT,
    launches: Sequence[Launch],
    *,
    warmup: int,
    limits: Sequence[DeviceLimits] = (),
    keep_series: bool = False,
) -> Result:
    """Return what the launches of a case came to; speed-up and efficiency are null until there is a reference.

    Times are pooled over the launches; what cannot be pooled, by rank or of the output, is the last launch's.

    Args:
        mode: what was measured.
        case: what ran.
        machine: where.
        checked: what it was checked against.
        launches: what the lives of its ranks gave.
        warmup: untimed rounds of a launch.
        limits: of the devices, by rank; () where they are not known.
        keep_series: whether every reading of the machine is saved.
    """
    samples = [mode.samples(case, launch) for launch in launches]
    pooled = tuple(sample for launch in samples for sample in launch)
    reports = launches[-1].reports
    rounds = [round for launch in launches for round in launch.rounds]
    seen = _observations(launches)
    telemetry = summarize(seen, keep_series=keep_series)
    per_s = throughput(pooled) if pooled else None
    layout, form = case.layout, mode.format
    entries: dict[str, Any] = {
        "schema": SCHEMA,
        "mode": form.mode,
        "unit": form.unit,
        "fingerprint": dict(mode.cases.fingerprint(case)),
        "engine": case.engine,
        "engine_configuration": reports[0].engine_configuration,
        "strategy": case.strategy,
        "gpus": case.gpus,
        "layout": {"dp": layout.dp, "pp": layout.pp, "tp": layout.tp},
        "degenerate": case.degenerate,
        "oversubscribed": machine.oversubscribed(case.gpus),
        "shared_gpu": machine.shares_gpu(case.gpus),
        "device": machine.device,
        "device_name": machine.device_name,
        "backend": machine.backend_of(case.gpus),
        "machines": machine.machines(case.gpus),
        "threads_per_rank": machine.threads_per_rank,
        "warmup": warmup,
        form.throughput: per_s,
        form.throughput_per_gpu: None if per_s is None else per_s / case.gpus,
        "speedup": None,
        "efficiency": None,
        "reference": None,
        "time_lost": time_lost([round.seconds for round in rounds], [round.overheads for round in rounds]),
        "limits": {
            "read_bytes_per_s": [limit.read_bytes_per_s for limit in limits],
            "flops_per_s": [limit.flops_per_s for limit in limits],
        },
        "yardstick": [yardstick_entry(launch.reports[0].yardstick) for launch in launches],
        "gpu_utilization": telemetry.utilization if telemetry and not is_brief(launches) else None,
        "peak_memory_bytes": [report.peak_memory_bytes for report in reports],
        "matches_reference": None,
        "telemetry": telemetry.as_dict() if telemetry else None,
        "marks": [*marks(mode, case, launches), *mode.caveats(checked), *_cut(case, machine)],
        "repeated": [list(launch.repeated) for launch in launches],
        "resumed": False,
        "launches": samples,
    }
    profiles = next((launch.profiles for launch in launches if launch.profiles), None)
    if profiles is not None:
        entries["profile"] = profile_entry(profiles)
    entries |= mode.figures(case, checked, launches, limits, telemetry)
    return mode.result(_in_order(entries, form), launches[-1].output, pooled)


def look_entries(mode: Mode[CaseT, CheckedT], case: CaseT, launches: Sequence[Launch]) -> dict[str, Any]:
    """Return what is saved of further launches of a case: their samples, yardstick and marks."""
    return {
        "launches": [mode.samples(case, launch) for launch in launches],
        "yardstick": [yardstick_entry(launch.reports[0].yardstick) for launch in launches],
        "marks": marks(mode, case, launches),
    }


def marks(mode: Mode[CaseT, CheckedT], case: CaseT, launches: Sequence[Launch]) -> list[str]:
    """Return what makes the numbers of launches doubtful: the mode's own reasons, trends, and disturbances."""
    trends = (drift(samples) for launch in launches if (samples := mode.samples(case, launch)))
    drifting = [f"drifting: {trend}" for trend in dict.fromkeys(trends) if trend is not None]
    return [*mode.marks(launches), *drifting, *disturbance_marks(_observations(launches))]


def paired_figures(
    mode: Mode[CaseT, CheckedT], case: CaseT, checked: CheckedT, launch: Launch
) -> dict[str, float | None]:
    """Return one number of a launch for each metric that an A/B compares, and the largest rank's peak of memory."""
    figures = mode.figures(case, checked, [launch], (), None)
    peaks = [report.peak_memory_bytes for report in launch.reports if report.peak_memory_bytes is not None]
    gated = {
        metric.gate.key: metric.gate.of(figures[metric.name])  # type: ignore[arg-type]
        for metric in mode.format.metrics
        if metric.gate is not None
    }
    return {
        mode.format.time: launch_datum(mode.samples(case, launch)),
        **gated,
        "peak_memory_bytes": max(peaks, default=None),
    }


def paired_entries(form: ResultFormat) -> tuple[str, ...]:
    """Return the saved entries that an A/B keeps of its other side, too."""
    figures = [metric.name for metric in form.figures]
    beside = ("peak_memory_bytes", form.output, "marks", "launches")
    return tuple(dict.fromkeys(key for key in (*figures, *beside) if key))


def yardstick_entry(readings: Sequence[Reading]) -> dict[str, list[float]] | None:
    """Return a launch's readings as they are saved: seconds of each piece, in their order; None without any."""
    if not readings:
        return None
    series = {
        piece.name: [getattr(reading, piece.name) for reading in readings]
        for piece in dataclasses.fields(Reading)
    }
    return {name: values for name, values in series.items() if None not in values}


def is_brief(launches: Sequence[Launch]) -> bool:
    """Return whether the rounds of a launch were too short for what is sampled over them."""
    return any(seen.brief for seen in _observations(launches))


def _cut(case: CaseSpec, machine: Machine) -> list[str]:
    """Return the mark of a case whose tensor-parallel groups do not stay inside a machine."""
    cut = machine.cut_tensor_groups(case.gpus, case.layout.tp)
    return [f"tensor groups over machines: {cut} of {case.gpus // case.layout.tp}"] if cut else []


def _observations(launches: Sequence[Launch]) -> list[Observation]:
    return [launch.observation for launch in launches if launch.observation is not None]


def _in_order(entries: Mapping[str, Any], form: ResultFormat) -> dict[str, Any]:
    """Entries in the order in which people read them. KeyError for one that the format does not name."""
    names = [metric.name for metric in form.metrics]
    if unnamed := entries.keys() - set(names):
        raise KeyError(f"not among the metrics of {form.mode}: {', '.join(sorted(unnamed))}")
    return {name: entries[name] for name in names if name in entries}
