"""What is not there: cases that a full matrix would have, and figures. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.series import series_of
from pytest_gpt_dist.results.result_format import ResultFormat

_TOLD = {
    "efficiency": "efficiency",
    "time_lost": "losses",
    "gpu_utilization": "GPU utilisation",
    "peak_memory_bytes": "memory",
    "rank_cores": "processor time of the ranks",
}
# The table of what the machine did says itself what no case has.
_TOLD_OF_SOME = {
    "host_others": "share of what others took",
    "host_memory": "memory of the host",
    "host_power_w": "power of the processors",
    "gpu_power_w": "power of the GPUs",
    "gpu_clock_hz": "clock",
    "gpu_temperature_c": "temperature",
    "gpu_throttling": "throttling",
    "nvlink_bytes_per_s": "NVLink throughput",
    "pcie_bytes_per_s": "PCIe throughput",
}
_DEGREES = re.compile(r"dp\d+pp\d+tp\d+")


def gaps(cases: Sequence[CaseFigures]) -> Iterator[str]:
    """Yield what a full matrix of the strategies, engines and device counts that are there would have besides."""
    counts = sorted({case.gpus for case in cases if case.gpus > 1})
    there = {(series_of(case), case.gpus) for case in cases}
    for series in dict.fromkeys(series_of(case) for case in cases):
        absent = [str(gpus) for gpus in counts if (series, gpus) not in there]
        if absent and not _DEGREES.fullmatch(series.strategy):
            yield f"no case: {series} on {', '.join(absent)} devices"
    for engine in dict.fromkeys(case.engine for case in cases):
        if not any(case.gpus == 1 for case in cases if case.engine == engine):
            yield f"no case: {engine} on one device"
    untold: dict[tuple[str, str], list[str]] = {}
    told = _TOLD | _of_mode(cases[0].form)
    of_some = _TOLD_OF_SOME | ({cases[0].form.energy: "energy"} if cases[0].form.energy else {})
    for figure, name in (told | of_some).items():
        reasons: dict[str, list[str]] = {}
        for case in cases:
            if why := case.why_missing(figure):
                reasons.setdefault(why, []).append(case.case)
        of_all = sum(map(len, reasons.values())) == len(cases)
        for why, names in reasons.items():
            of = "any case" if len(names) == len(cases) else ", ".join(names)
            if figure in told or not of_all:
                untold.setdefault((of, why), []).append(name)
    for (of, why), missing in untold.items():
        yield f"no {', '.join(missing)} of {of}: {why}"


def _of_mode(form: ResultFormat) -> dict[str, str]:
    """Return the names of the mode's own figures: shares of limits, and what has a column."""
    first, *further = form.limits or (None,)
    shares = {} if first is None else {first.metric: "share of the limit"}
    shares |= {limit.metric: f"{limit.work}'s share of the limit" for limit in further if limit is not None}
    return shares | {metric.name: metric.label for metric in form.further}
