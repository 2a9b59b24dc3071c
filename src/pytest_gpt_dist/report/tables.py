"""The columns of a report's tables: what each says of a case, in which unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gpt_dist.compare.ab import Beside
from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY
from pytest_gpt_dist.report.cells import NOTHING, exact, memory, number
from pytest_gpt_dist.report.figures import CaseFigures, Latency
from pytest_gpt_dist.report.findings import EFFICIENCY_TARGET, UTILIZATION_TARGET, Group
from pytest_gpt_dist.report.machine import Traffic
from pytest_gpt_dist.report.missing import Figure
from pytest_gpt_dist.report.sides import side_columns
from pytest_gpt_dist.report.verdicts import level, of_medians, verdict_name
from pytest_gpt_dist.results.metrics import Metric
from pytest_gpt_dist.results.result_format import Limit, ResultFormat
from pytest_gpt_dist.results.text import share


@dataclass(frozen=True)
class Column:
    """A header, and the cell of a case as plain text; where ``figure`` is missing, its reason can be asked for.

    ``says`` is a sentence on what the header does not tell, ``beyond`` why a share of ``figure`` can be above 100%.
    """

    header: str
    align: Literal["left", "right"]
    cell: Callable[[CaseFigures], str]
    figure: Figure | None = None
    says: str = ""
    beyond: str = ""


@dataclass(frozen=True)
class VerdictRow:
    """A verdict as plain text, in the order of ``verdict_headers``."""

    case: str
    before: str
    after: str
    time: str
    detectable: str
    kind: str
    why: str


def verdict_headers(group: Group) -> tuple[str, ...]:
    """Return the headers: of medians of launches' rounds; of a latency, before and after say that they are of one."""
    of = of_medians([verdict for case in group.cases for verdict in case.verdicts])
    return ("case", f"before {of}", f"after {of}", "time", "detectable", "verdict", "why")


def milliseconds(latency: Latency | None) -> str:
    """Mean and the percentiles 50, 95 and 99."""
    if latency is None:
        return NOTHING
    return " / ".join(
        f"{seconds * 1e3:,.1f}" for seconds in (latency.mean_s, latency.p50_s, latency.p95_s, latency.p99_s)
    )


def verdict_rows(group: Group) -> list[VerdictRow]:
    """Every verdict of a group's cases."""
    given = [verdict for case in group.cases for verdict in case.verdicts]
    return [
        VerdictRow(
            case=verdict_name(case.case, verdict.label),
            before=level(verdict, verdict.before_s, given),
            after=level(verdict, verdict.after_s, given),
            time=number(verdict.effect, "{:+.1%}")
            + ("" if verdict.interval is None else " ({:+.1%} to {:+.1%})".format(*verdict.interval)),
            detectable=number(verdict.detectable, "{:+.1%}"),
            kind=verdict.kind,
            why=verdict.why,
        )
        for case in group.cases
        for verdict in case.verdicts
    ]


def _lost(kind: str) -> Callable[[CaseFigures], str]:
    """Return the share of that kind; what is next to nothing has no sign."""
    return lambda case: number(None if case.time_lost is None else getattr(case.time_lost, kind), "{:z.0%}")


def _beyond(case: CaseFigures) -> str:
    """Why efficiency and what was measured of the losses make up more than the whole; empty where they do not."""
    if case.time_lost is None or case.efficiency is None:
        return ""
    whole = case.efficiency + sum(case.time_lost.measured.values())
    return (
        f"{whole:.0%} without other: a share is done faster than on one device" if round(whole, 2) > 1 else ""
    )


def _launches(case: CaseFigures) -> str:
    found = case.launch_range
    count = len(case.launch_throughputs)
    return str(count) if found is None else f"{count}: {found[0]:,.1f} to {found[1]:,.1f}"


def _efficiency(case: CaseFigures) -> str:
    return NOTHING if case.efficiency is None else share(case.efficiency, EFFICIENCY_TARGET)


def _utilization(case: CaseFigures) -> str:
    return NOTHING if case.gpu_utilization is None else share(case.gpu_utilization, UTILIZATION_TARGET)


def _throttling(case: CaseFigures) -> str:
    reasons = case.machine.gpu_throttling
    return NOTHING if reasons is None else ", ".join(f"{name} {part:.0%}" for name, part in reasons) or "no"


def _megahertz(case: CaseFigures) -> str:
    clock_hz = case.machine.gpu_clock_hz
    return NOTHING if clock_hz is None else f"{clock_hz / 1e6:,.0f}"


def _traffic(traffic: Traffic | None) -> str:
    """Gigabytes a second, sent and received."""
    return NOTHING if traffic is None else f"{traffic.sent / 1e9:,.2f} / {traffic.received / 1e9:,.2f}"


def _beside(cell: Callable[[Beside], str]) -> Callable[[CaseFigures], str]:
    def told(case: CaseFigures) -> str:
        other = case.other_side
        return NOTHING if other is None or other.beside is None else cell(other.beside)

    return told


_CASE = Column("case", "left", lambda case: case.case)
_EFFICIENCY = Column(
    "efficiency", "right", _efficiency, "efficiency", beyond=f"Efficiency is {BEYOND_EFFICIENCY}."
)
_UTILIZATION = Column("GPU util.", "right", _utilization, "gpu_utilization")


def figure_columns(form: ResultFormat) -> tuple[Column, ...]:
    """Return throughput, what became of the devices, whether the result is right, and the mode's own numbers."""
    return (
        _CASE,
        Column("notes", "left", lambda case: ", ".join(case.notes)),
        Column(f"{form.rate} (mean)", "right", lambda case: f"{case.throughput:,.1f}"),
        Column("launches", "right", _launches),
        Column("a device", "right", lambda case: f"{case.throughput_per_gpu:,.1f}"),
        Column("speed-up", "right", lambda case: number(case.speedup, "{:.2f}×"), "speedup"),
        _EFFICIENCY,
        *map(_of_limit, form.limits),
        *(_of_metric(metric) for metric in form.further if metric.kind == "figure"),
        _UTILIZATION,
        Column("memory MiB", "right", lambda case: memory(case.peak_memory_bytes), "peak_memory_bytes"),
        Column("exact", "right", lambda case: exact(case.matches_reference, case.error)),
        Column("engine", "left", lambda case: case.engine),
        Column("layout", "left", lambda case: case.layout),
    )


def _of_limit(limit: Limit) -> Column:
    beyond = f"{limit.why_beyond}." if limit.beyond else ""
    return Column(
        limit.label,
        "right",
        lambda case: number(case.number(limit.metric), "{:.0%}"),
        limit.metric,
        beyond=beyond,
    )


def _of_metric(metric: Metric) -> Column:
    def cell(case: CaseFigures) -> str:
        value = case.number(metric.name)
        return NOTHING if value is None else metric.shown(value)

    return Column(metric.label, "right", cell, metric.name)


def latency_columns(form: ResultFormat) -> tuple[Column, ...]:
    """Return the mode's latencies, in milliseconds: mean / p50 / p95 / p99."""
    return (_CASE, *(_of_latency(metric) for metric in form.further if metric.kind == "latency"))


def _of_latency(metric: Metric) -> Column:
    return Column(metric.label, "right", lambda case: milliseconds(case.latency(metric.name)), metric.name)


def beside_columns(cases: Sequence[CaseFigures]) -> tuple[Column, ...]:
    """Return what else differs from the other side of an A/B."""
    described = [case.other_side.beside for case in cases if case.other_side and case.other_side.beside]
    return (_CASE, *(Column(header, align, _beside(cell)) for header, align, cell in side_columns(described)))


LOSSES = (
    _CASE,
    _EFFICIENCY,
    Column("communication", "right", _lost("communication"), "time_lost"),
    Column("bubble", "right", _lost("bubble"), "time_lost"),
    Column("imbalance", "right", _lost("imbalance"), "time_lost"),
    Column("other", "right", _lost("other"), "time_lost_other"),
    Column("beyond 100%", "left", _beyond),
)
"""What became of the ranks' time, as shares of it."""


def profile_columns(profiled: Sequence[CaseFigures]) -> tuple[Column, ...]:
    """Return a column for each phase of profiled rounds, and one for the operators that took most."""
    told = [case.profile.phases for case in profiled if case.profile]
    phases = dict.fromkeys(phase for each in told for phase, _ in each)

    def share(phase: str) -> Callable[[CaseFigures], str]:
        return lambda case: number(dict(case.profile.phases).get(phase) if case.profile else None, "{:.0%}")

    return (
        _CASE,
        *(Column(phase, "right", share(phase)) for phase in phases),
        Column("largest operators", "left", lambda case: case.profile.largest if case.profile else ""),
        Column("traces", "left", lambda case: case.profile.folder if case.profile else ""),
    )


_HOST = (
    Column(
        "cores a rank",
        "right",
        lambda case: number(case.machine.rank_cores, "{:.2f}"),
        "rank_cores",
        "Cores a rank: how many were busy for it, the mean of the ranks.",
    ),
    Column(
        "others",
        "right",
        lambda case: number(case.machine.host_others, "{:.1%}"),
        "host_others",
        "Others: what anything but the ranks took of their own cores; a mark in the notes is of the worst launch.",
    ),
    Column(
        "host memory",
        "right",
        lambda case: number(case.machine.host_memory, "{:.0%}"),
        "host_memory",
        "Host memory: the most that was in use.",
    ),
    Column(
        "processors W",
        "right",
        lambda case: number(case.machine.host_power_w, "{:,.0f}"),
        "host_power_w",
        "Processors W: of their packages, whoever used them.",
    ),
)
_GPUS = (
    Column(
        "GPUs W",
        "right",
        lambda case: number(case.machine.gpu_power_w, "{:,.0f}"),
        "gpu_power_w",
        "GPUs W: all of them together.",
    ),
)
_GPUS_FURTHER = (
    Column("SM clock MHz", "right", _megahertz, "gpu_clock_hz"),
    Column(
        "hottest °C",
        "right",
        lambda case: number(case.machine.gpu_temperature_c, "{:.0f}"),
        "gpu_temperature_c",
    ),
    Column(
        "throttled",
        "left",
        _throttling,
        "gpu_throttling",
        "Throttled: share of looks in which clocks were held down, by reason.",
    ),
    Column(
        "NVLink GB/s",
        "right",
        lambda case: _traffic(case.machine.nvlink_bytes_per_s),
        "nvlink_bytes_per_s",
        "NVLink: sent / received by all GPUs together.",
    ),
    Column(
        "PCIe GB/s",
        "right",
        lambda case: _traffic(case.machine.pcie_bytes_per_s),
        "pcie_bytes_per_s",
        "PCIe: sent / received by all GPUs together.",
    ),
)


def meanwhile_columns(form: ResultFormat) -> tuple[Column, ...]:
    """Return what the machine did: means over the timed rounds, unless they say otherwise."""
    energy = [_of_energy(form)] if form.energy else []
    return (_CASE, *_HOST, _UTILIZATION, *_GPUS, *energy, *_GPUS_FURTHER)


def _of_energy(form: ResultFormat) -> Column:
    unit = form.metric(form.energy).unit
    return Column(unit, "right", lambda case: number(case.number(form.energy), "{:.3g}"), form.energy)


SOURCES = (
    Column("case", "left", lambda case: case.test),
    Column("file", "left", lambda case: case.source),
    Column("saved", "left", lambda case: case.saved_at or NOTHING),
    Column("revision", "left", lambda case: case.revision or "not known"),
    Column("speed-up refers to", "left", lambda case: str(case.reference) if case.reference else NOTHING),
)
"""Where every figure can be looked up."""
