"""Which figures a case has not, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.measure.time_lost import MEASURED
from pytest_gpt_dist.results.result_format import ResultFormat

FigureOfHost = Literal["rank_cores", "host_others", "host_memory", "host_power_w"]
FigureOfGpus = Literal[
    "gpu_power_w",
    "gpu_clock_hz",
    "gpu_temperature_c",
    "gpu_throttling",
    "nvlink_bytes_per_s",
    "pcie_bytes_per_s",
]
Figure = str
"""One of these, a metric of the mode, or what every mode has, such as efficiency."""
_OF_SCALING = ("speedup", "efficiency")
_OVERSUBSCRIBED = "oversubscribed: ranks share cores"
NO_ENERGY_COUNTER = "the system shows no energy counter of the processors"
SILENT_NVML = "NVML did not tell"
SILENT_SYSTEM = "the system did not tell"
_UNSAVED = "not saved by an earlier version"
_BRIEF = "the rounds of a launch last less than a second"


@dataclass(frozen=True)
class Missing:
    """A figure that a case has not, and why."""

    figure: Figure
    why: str


def missing_figures(info: Mapping[str, Any], form: ResultFormat) -> Iterator[Missing]:
    """Those that a case saved as null. What the machine did meanwhile is in ``machine.missing_of_machine``."""
    if info["speedup"] is None:
        why = next(
            (one_line(mark) for mark in info["marks"] if mark.startswith("no speed-up")),
            "no case on one device to refer to",
        )
        yield from (Missing(figure, why) for figure in _OF_SCALING)
    elif info["efficiency"] is None:
        why = "not measured"
        if info["oversubscribed"]:
            why = _OVERSUBSCRIBED
        elif info["shared_gpu"]:
            why = "ranks share a GPU"
        yield Missing("efficiency", why)
    if info["gpus"] > 1:
        yield from _losses(info)
    yield from _limits(info, form)
    if info["gpu_utilization"] is None:
        yield Missing("gpu_utilization", _no_utilization(info))
    if form.energy and info.get(form.energy) is None:
        yield Missing(form.energy, _no_energy(info))
    if all(size is None for size in info["peak_memory_bytes"]):
        yield Missing("peak_memory_bytes", SILENT_SYSTEM)
    for metric in form.further:
        if info.get(metric.name) is None:
            yield Missing(metric.name, metric.absent if metric.name in info else _UNSAVED)


def _limits(info: Mapping[str, Any], form: ResultFormat) -> Iterator[Missing]:
    unlimited = _OVERSUBSCRIBED if info["oversubscribed"] else "the limit was not measured"
    for limit in form.limits:
        if limit.metric not in info:
            yield Missing(limit.metric, _UNSAVED)
        elif info[limit.metric] is None:
            idle = bool(limit.needs) and info.get(limit.needs) is None
            yield Missing(limit.metric, limit.without if idle else unlimited)


def telemetry(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was saved of what the machine did; empty where that is nothing."""
    found = info.get("telemetry")
    return found if isinstance(found, Mapping) else {}


def not_watched(info: Mapping[str, Any]) -> str:
    """Why nothing is known of what the machine did; empty where something is."""
    return "" if telemetry(info) else "what the machine did was not saved, or cannot be read"


def _losses(info: Mapping[str, Any]) -> Iterator[Missing]:
    if any(info["time_lost"][kind] is None for kind in MEASURED):
        why = "not measured"
        if info["device"] != "cpu":
            why = "not measured on GPUs"
        elif info.get("collectives_per_step") is None:
            why = "the engine communicates by itself"
        yield Missing("time_lost", why)
        yield Missing("time_lost_other", why)
    elif info["time_lost"]["other"] is None:
        yield Missing("time_lost_other", "no efficiency")


def _no_utilization(info: Mapping[str, Any]) -> str:
    if info["device"] == "cpu":
        return "no GPU"
    gpus = telemetry(info).get("gpus") or []
    told = bool(gpus) and all(gpu["utilization"] is not None for gpu in gpus)
    return not_watched(info) or (_BRIEF if told else SILENT_NVML)


def _no_energy(info: Mapping[str, Any]) -> str:
    found = telemetry(info)
    if info["device"] == "cpu":
        silent = NO_ENERGY_COUNTER
        told = found.get("host", {}).get("energy_j") is not None
    else:
        silent = SILENT_NVML
        gpus = found.get("gpus") or []
        told = bool(gpus) and all(gpu["energy_j"] is not None for gpu in gpus)
    return not_watched(info) or (_BRIEF if told else silent)
