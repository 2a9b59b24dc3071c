"""The columns of a report's tables: what each says of a case, in which unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pytest_gpt_dist.report.figures import CaseFigures, Figure, Latency
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.table import NOTHING, exact, memory, number
from pytest_gpt_dist.report.verdicts import verdict_name


@dataclass(frozen=True)
class Column:
    """A header, and the cell of a case as plain text; where ``figure`` is missing, its reason can be asked for."""

    header: str
    align: Literal["left", "right"]
    cell: Callable[[CaseFigures], str]
    figure: Figure | None = None


@dataclass(frozen=True)
class VerdictRow:
    """A verdict as plain text."""

    case: str
    kind: str
    time: str
    why: str


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
            verdict_name(case.case, verdict.metric),
            verdict.kind,
            number(verdict.effect, "{:+.1%}")
            + ("" if verdict.interval is None else " ({:+.1%} to {:+.1%})".format(*verdict.interval)),
            verdict.why,
        )
        for case in group.cases
        for verdict in case.verdicts
    ]


def _lost(kind: str) -> Callable[[CaseFigures], str]:
    """The share of that kind; what is next to nothing has no sign."""
    return lambda case: number(None if case.lost is None else getattr(case.lost, kind), "{:z.0%}")


def _launches(case: CaseFigures) -> str:
    found = case.launch_range_tokens_per_s
    count = len(case.launches_tokens_per_s)
    return str(count) if found is None else f"{count}: {found[0]:,.1f} to {found[1]:,.1f}"


FIGURES = (
    Column("case", "left", lambda case: case.case),
    Column("engine", "left", lambda case: case.engine),
    Column("layout", "left", lambda case: case.layout),
    Column("tokens/s", "right", lambda case: f"{case.tokens_per_s:,.1f}"),
    Column("launches", "right", _launches),
    Column("a device", "right", lambda case: f"{case.tokens_per_s_per_gpu:,.1f}"),
    Column("speed-up", "right", lambda case: number(case.speedup, "{:.2f}×"), "speedup"),
    Column("efficiency", "right", lambda case: number(case.efficiency, "{:.0%}"), "efficiency"),
    Column("of limit", "right", lambda case: number(case.bandwidth_fraction, "{:.0%}"), "bandwidth_fraction"),
    Column("GPU util.", "right", lambda case: number(case.gpu_utilization, "{:.0%}"), "gpu_utilization"),
    Column("memory MiB", "right", lambda case: memory(case.peak_memory_bytes), "peak_memory_bytes"),
    Column("exact", "left", lambda case: exact(case.matches_reference, case.max_logit_error)),
    Column("notes", "left", lambda case: ", ".join(case.notes)),
)
"""Throughput, what became of the devices, and whether the result is right."""

LOSSES = (
    Column("case", "left", lambda case: case.case),
    Column("efficiency", "right", lambda case: number(case.efficiency, "{:.0%}"), "efficiency"),
    Column("communication", "right", _lost("communication"), "lost"),
    Column("bubble", "right", _lost("bubble"), "lost"),
    Column("imbalance", "right", _lost("imbalance"), "lost"),
    Column("other", "right", _lost("other"), "lost_other"),
)
"""What became of the ranks' time, as shares of it."""

LATENCIES = (
    Column("case", "left", lambda case: case.case),
    Column("end to end", "right", lambda case: milliseconds(case.latency)),
    Column("TTFT", "right", lambda case: milliseconds(case.ttft)),
    Column("TPOT", "right", lambda case: milliseconds(case.tpot), "itl_s"),
    Column("ITL", "right", lambda case: milliseconds(case.itl), "itl_s"),
)
"""In milliseconds: mean / p50 / p95 / p99."""

SOURCES = (
    Column("case", "left", lambda case: case.test),
    Column("file", "left", lambda case: case.source),
    Column("saved", "left", lambda case: case.saved_at or NOTHING),
    Column("speed-up refers to", "left", lambda case: str(case.reference) if case.reference else NOTHING),
)
"""Where every figure can be looked up."""
