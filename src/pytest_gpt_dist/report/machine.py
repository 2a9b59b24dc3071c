"""What the machine did while a case ran, from its telemetry: means over the timed rounds, with reasons for gaps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, get_args

from pytest_gpt_dist.report.missing import (
    NO_ENERGY_COUNTER,
    SILENT_NVML,
    SILENT_SYSTEM,
    Figure,
    FigureOfGpus,
    FigureOfHost,
    Missing,
    not_watched,
    telemetry,
)
from pytest_gpt_dist.results.checked import amount, entries, maybe, name


@dataclass(frozen=True)
class Traffic:
    """Bytes a second, of all GPUs of the case together."""

    sent: float
    received: float


@dataclass(frozen=True)
class Machine:
    """Means over the rounds; None is what was not told.

    ``rank_cores`` are the processors that a rank used, mean over ranks; ``host_others`` is the share of the ranks'
    own cores that anything else took, ``host_memory`` the largest share of the machine's memory in use.
    ``host_power_w`` is of the processors' packages, whoever used them, ``gpu_power_w`` of all GPUs together.
    ``gpu_clock_hz`` is the mean over GPUs, ``gpu_temperature_c`` the hottest look of any, ``gpu_throttling`` the
    share of looks by reason, mean over GPUs.
    """

    rank_cores: float | None = None
    host_others: float | None = None
    host_memory: float | None = None
    host_power_w: float | None = None
    gpu_power_w: float | None = None
    gpu_clock_hz: float | None = None
    gpu_temperature_c: float | None = None
    gpu_throttling: tuple[tuple[str, float], ...] | None = None
    nvlink_bytes_per_s: Traffic | None = None
    pcie_bytes_per_s: Traffic | None = None


_OF_GPUS: tuple[Figure, ...] = get_args(FigureOfGpus)
_OF_HOST: tuple[Figure, ...] = get_args(FigureOfHost)


def read_machine(info: Mapping[str, Any]) -> Machine:
    """Return what a case saved of it; older files have less. TypeError or ValueError where it is damaged."""
    told = telemetry(info)
    host = entries(told.get("host", {}))
    ranks, gpus = ([entries(each) for each in told.get(key, ())] for key in ("ranks", "gpus"))
    span_s, energy_j = amount(told.get("span_s", 0)), maybe(amount, host.get("energy_j"))
    return Machine(
        rank_cores=_mean(_extents(ranks, "cpu")),
        host_others=_extent(host, "owned_others"),
        host_memory=_extent(host, "memory", "max"),
        host_power_w=energy_j / span_s if energy_j is not None and span_s else None,
        gpu_power_w=_sum(_extents(gpus, "power_w")),
        gpu_clock_hz=_mean(_extents(gpus, "sm_clock_hz")),
        gpu_temperature_c=max(_extents(gpus, "temperature_c", "max") or (), default=None),
        gpu_throttling=_throttling([gpu.get("throttling") for gpu in gpus]),
        nvlink_bytes_per_s=_traffic(gpus, "nvlink"),
        pcie_bytes_per_s=_traffic(gpus, "pcie"),
    )


def missing_of_machine(info: Mapping[str, Any], machine: Machine) -> Iterator[Missing]:
    """Which of its figures were not told, and why. What a CPU or a GPU has not is said of the other alone."""
    on_cpu = info["device"] == "cpu"
    for figure in (*_OF_HOST, *_OF_GPUS):
        if getattr(machine, figure) is None:
            yield Missing(figure, not_watched(info) or _why(figure, info, on_cpu=on_cpu))


def _why(figure: Figure, info: Mapping[str, Any], *, on_cpu: bool) -> str:
    if figure in _OF_GPUS:
        return "no GPU" if on_cpu else SILENT_NVML
    if figure == "host_others":
        if not on_cpu:
            return "ranks own GPUs and no cores"
        if "owned_others" not in telemetry(info).get("host", {}):
            return "not saved by an earlier version"
    if figure == "host_power_w":
        return NO_ENERGY_COUNTER
    return SILENT_SYSTEM


def _extent(told: Mapping[str, Any], figure: str, part: str = "mean") -> float | None:
    found = told.get(figure)
    return None if found is None else amount(entries(found)[part])


def _extents(told: Sequence[Mapping[str, Any]], figure: str, part: str = "mean") -> list[float] | None:
    """One of each; None where one does not tell, or there is none."""
    found = [_extent(each, figure, part) for each in told]
    known = [value for value in found if value is not None]
    return known if known and len(known) == len(found) else None


def _mean(values: Iterable[float] | None) -> float | None:
    return None if values is None else fmean(values)


def _sum(values: Iterable[float] | None) -> float | None:
    return None if values is None else sum(values)


def _traffic(gpus: Sequence[Mapping[str, Any]], link: str) -> Traffic | None:
    sent, received = (_sum(_extents(gpus, f"{link}_{way}_bytes_per_s")) for way in ("sent", "received"))
    return None if sent is None or received is None else Traffic(sent, received)


def _throttling(told: Sequence[Any]) -> tuple[tuple[str, float], ...] | None:
    """None where one does not tell, or there is none."""
    if not told or any(each is None for each in told):
        return None
    reasons = [{name(key): amount(share) for key, share in entries(each).items()} for each in told]
    names = dict.fromkeys(key for each in reasons for key in each)
    return tuple((key, fmean(each.get(key, 0.0) for each in reasons)) for key in names)
