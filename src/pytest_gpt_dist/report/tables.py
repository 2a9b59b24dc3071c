"""The columns of a report's tables: what each says of a case, in which unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pytest_gpt_dist.compare.ab import Beside
from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY, BEYOND_LIMIT
from pytest_gpt_dist.report.cells import NOTHING, exact, memory, number
from pytest_gpt_dist.report.figures import CaseFigures, Latency
from pytest_gpt_dist.report.findings import EFFICIENCY_TARGET, UTILIZATION_TARGET, Group
from pytest_gpt_dist.report.machine import Traffic
from pytest_gpt_dist.report.missing import Figure
from pytest_gpt_dist.report.sides import SIDES
from pytest_gpt_dist.report.verdicts import level, verdict_name
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
    """A verdict as plain text, in the order of its columns: ``VERDICT_HEADERS``."""

    case: str
    before: str
    after: str
    time: str
    detectable: str
    kind: str
    why: str


VERDICT_HEADERS = (
    "case",
    "before tokens/s (median)",
    "after tokens/s (median)",
    "time",
    "detectable",
    "verdict",
    "why",
)
"""Of medians of launches' rounds; of a latency, before and after are milliseconds, and say so."""


def milliseconds(latency: Latency | None) -> str:
    """Mean and the percentiles 50, 95 and 99."""
    if latency is None:
        return NOTHING
    return " / ".join(
        f"{seconds * 1e3:,.1f}" for seconds in (latency.mean_s, latency.p50_s, latency.p95_s, latency.p99_s)
    )


def verdict_rows(group: Group) -> list[VerdictRow]:
    """Every verdict of a group's cases."""
    return [
        VerdictRow(
            case=verdict_name(case.case, verdict.metric),
            before=level(verdict.metric, verdict.before_s),
            after=level(verdict.metric, verdict.after_s),
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
    """The share of that kind; what is next to nothing has no sign."""
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
    found = case.launch_range_tokens_per_s
    count = len(case.launches_tokens_per_s)
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

FIGURES = (
    _CASE,
    Column("notes", "left", lambda case: ", ".join(case.notes)),
    Column("tokens/s (mean)", "right", lambda case: f"{case.tokens_per_s:,.1f}"),
    Column("launches", "right", _launches),
    Column("a device", "right", lambda case: f"{case.tokens_per_s_per_gpu:,.1f}"),
    Column("speed-up", "right", lambda case: number(case.speedup, "{:.2f}×"), "speedup"),
    _EFFICIENCY,
    Column(
        "of limit",
        "right",
        lambda case: number(case.mbu, "{:.0%}"),
        "mbu",
        beyond=f"Of limit is {BEYOND_LIMIT}.",
    ),
    Column("prefill of limit", "right", lambda case: number(case.mfu, "{:.0%}"), "mfu"),
    _UTILIZATION,
    Column("memory MiB", "right", lambda case: memory(case.peak_memory_bytes), "peak_memory_bytes"),
    Column("exact", "right", lambda case: exact(case.matches_reference, case.max_logit_error)),
    Column("engine", "left", lambda case: case.engine),
    Column("layout", "left", lambda case: case.layout),
)
"""Throughput, what became of the devices, and whether the result is right."""

BESIDE = (_CASE, *(Column(header, align, _beside(cell)) for header, align, cell in SIDES))
"""What else differs from the other side of an A/B."""

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

LATENCIES = (
    _CASE,
    Column("end to end", "right", lambda case: milliseconds(case.latency)),
    Column("TTFT", "right", lambda case: milliseconds(case.ttft)),
    Column("TPOT", "right", lambda case: milliseconds(case.tpot), "itl_s"),
    Column("ITL", "right", lambda case: milliseconds(case.itl), "itl_s"),
)
"""In milliseconds: mean / p50 / p95 / p99."""

MEANWHILE = (
    _CASE,
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
    _UTILIZATION,
    Column(
        "GPUs W",
        "right",
        lambda case: number(case.machine.gpu_power_w, "{:,.0f}"),
        "gpu_power_w",
        "GPUs W: all of them together.",
    ),
    Column("J/token", "right", lambda case: number(case.energy_j_per_token, "{:.3g}"), "energy_j_per_token"),
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
"""Means over the timed rounds, unless they say otherwise."""

SOURCES = (
    Column("case", "left", lambda case: case.test),
    Column("file", "left", lambda case: case.source),
    Column("saved", "left", lambda case: case.saved_at or NOTHING),
    Column("revision", "left", lambda case: case.revision or "not known"),
    Column("speed-up refers to", "left", lambda case: str(case.reference) if case.reference else NOTHING),
)
"""Where every figure can be looked up."""
