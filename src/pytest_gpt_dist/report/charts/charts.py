"""The charts of a group: what each shows, against what, and measured with what."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY
from pytest_gpt_dist.report.charts.canvas import Chart, Key, Theme
from pytest_gpt_dist.report.charts.labels import (
    all_launches,
    label,
    launches,
    measured,
    referred,
    relative_range,
    why_none,
)
from pytest_gpt_dist.report.charts.look import Look, bar_keys, look
from pytest_gpt_dist.report.charts.rows import Row, rows_panel, shares_panel
from pytest_gpt_dist.report.charts.scaling import scaling_curves
from pytest_gpt_dist.report.charts.time_lost import lost_efficiency
from pytest_gpt_dist.report.charts.training import training_charts
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import EFFICIENCY_TARGET, Group
from pytest_gpt_dist.report.missing import Figure
from pytest_gpt_dist.report.series import series_of
from pytest_gpt_dist.results.metrics import Metric
from pytest_gpt_dist.results.text import share

_MIB = 2**20
_FIRST, _FURTHER = Look(0, 0), Look(5, 0)


def charts(group: Group) -> tuple[Chart, ...]:
    """All of them, in the order of a report."""
    return (
        throughput_comparison(group),
        *latency_comparison(group),
        parallel_efficiency(group),
        lost_efficiency(group),
        avg_throughput_per_gpu(group),
        scaling_curves(group),
        memory_per_rank(group),
        *latency_distribution(group),
        *training_charts(group),
    )


def throughput_comparison(group: Group) -> Chart:
    """Throughput of every case."""
    rows = [
        Row(
            label=label(group, case),
            look=look(group, series_of(case)),
            value=case.throughput,
            text=f"{case.throughput:,.1f}",
            span=case.launch_range,
        )
        for case in group.cases
    ]
    return Chart(
        "throughput_comparison",
        "Throughput of the whole world",
        (f"All devices together, mean over the rounds. {launches(group)}",),
        measured(group),
        (rows_panel(rows, group.form.rate),),
        bar_keys(group, group.cases),
    )


def latency_comparison(group: Group) -> Iterator[Chart]:
    """Where the time of a request goes, in modes that have requests."""
    if not group.form.request:
        return
    whole, first = map(group.form.metric, group.form.request)
    rows = [_whole_and_first(group, case, whole.name, first.name) for case in group.cases]
    yield Chart(
        "latency_comparison",
        "Latency of a request",
        (
            "From the start of its batch to its end: bar and figure are the mean over requests and rounds.",
            all_launches(group),
        ),
        measured(group),
        (rows_panel(rows, "milliseconds"),),
        lambda theme: [
            Key(first.label, Patch(color=_FIRST.colour(theme))),
            Key("all that follows", Patch(color=_FURTHER.colour(theme))),
            Key("95th percentile of the whole", _stroke(theme)),
        ],
    )


def _whole_and_first(group: Group, case: CaseFigures, whole: str, first: str) -> Row:
    latency, part = case.latency(whole), case.latency(first)
    if latency is None:
        return Row(label(group, case), _FURTHER, None, case.why_missing(whole))
    return Row(
        label=label(group, case),
        look=_FURTHER,
        value=latency.mean_s * 1e3,
        text=f"{latency.mean_s * 1e3:,.1f} ms",
        inner=None if part is None else part.mean_s * 1e3,
        inner_look=_FIRST,
        mark=latency.p95_s * 1e3,
    )


def parallel_efficiency(group: Group) -> Chart:
    """Return what each case on several devices makes of them."""
    several = [case for case in group.cases if case.gpus > 1]
    beyond = any(case.efficiency is not None and case.efficiency > 1 for case in several)
    rows = [
        Row(
            label=label(group, case),
            look=look(group, series_of(case)),
            value=case.efficiency,
            text=case.why_missing("efficiency")
            if case.efficiency is None
            else share(case.efficiency, EFFICIENCY_TARGET),
            span=None if case.efficiency is None else relative_range(case, case.gpus),
        )
        for case in several
    ]
    return Chart(
        "parallel_efficiency",
        "Parallel efficiency",
        (
            f"Speed-up ÷ devices. {launches(group)}",
            *([f"{BEYOND_EFFICIENCY[:1].upper()}{BEYOND_EFFICIENCY[1:]}."] if beyond else []),
            referred(group),
        ),
        measured(group),
        (shares_panel(rows, "share of a linear speed-up", EFFICIENCY_TARGET),),
        lambda theme: [
            *bar_keys(group, several)(theme),
            Key(f"target: {EFFICIENCY_TARGET:.0%}", Line2D([], [], color=theme.muted, linestyle="--")),
        ],
        why_none(several, "efficiency") if all(case.efficiency is None for case in several) else "",
    )


def avg_throughput_per_gpu(group: Group) -> Chart:
    """Return what a device contributes, by strategy; means of other device counts would not compare."""
    common = {series.engine: _common_counts(group, series.engine) for series in group.series}
    rows = []
    for series in group.series:
        cases = [case for case in group.cases if series_of(case) == series]
        compared = [case.throughput_per_gpu for case in cases if case.gpus in common[series.engine]]
        mean = fmean(compared) if compared else None
        rows.append(
            Row(
                label=str(series),
                look=look(group, series),
                value=mean,
                text="no count in common" if mean is None else f"{mean:,.1f}",
                points=tuple(case.throughput_per_gpu for case in cases if not case.disturbed),
                crosses=tuple(case.throughput_per_gpu for case in cases if case.disturbed),
            )
        )
    over = "; ".join(
        (f"{engine}: " if len(common) > 1 else "") + (", ".join(map(str, counts)) or "none")
        for engine, counts in common.items()
    )
    crowded = any(case.oversubscribed for case in group.cases)
    disturbed = any(case.disturbed for case in group.cases)
    return Chart(
        "avg_throughput_per_gpu",
        "Mean throughput of a device",
        (
            f"Bar and figure: the mean over the device counts that all strategies of an engine have ({over})."
            + (" Oversubscribed ranks share cores, and count as devices nevertheless." if crowded else ""),
            all_launches(group),
        ),
        measured(group),
        (rows_panel(rows, f"{group.form.rate} of a device"),),
        lambda theme: [
            Key("one device count", _circle(theme)),
            *([Key("disturbed", _cross(theme))] if disturbed else []),
        ],
    )


def memory_per_rank(group: Group) -> Chart:
    """Return the peak of every rank, beside what its weights take."""
    rows = []
    for case in group.cases:
        ranks = [size / _MIB for size in case.peak_memory_bytes if size is not None]
        weights = [size / _MIB for size in case.parameter_bytes if size is not None]
        largest = max(ranks, default=None)
        rows.append(
            Row(
                label=label(group, case),
                look=look(group, series_of(case)),
                value=largest,
                text=_or_why(case, "peak_memory_bytes", largest, "{:,.0f} MiB"),
                points=tuple(ranks),
                mark=max(weights, default=None),
            )
        )
    return Chart(
        "memory_per_rank",
        "Peak memory of a rank",
        (
            "The bar is the largest rank's; the stroke is the largest rank's share of the weights.",
            all_launches(group),
        ),
        measured(group),
        (rows_panel(rows, "MiB"),),
        lambda theme: [
            *bar_keys(group, group.cases)(theme),
            Key("one rank", _circle(theme)),
            Key("weights alone", _stroke(theme)),
        ],
        "" if any(row.value is not None for row in rows) else why_none(group.cases, "peak_memory_bytes"),
    )


def latency_distribution(group: Group) -> Iterator[Chart]:
    """How far the slow ones are from the usual ones, of the latencies for which that matters."""
    shown = [group.form.metric(name) for name in group.form.distributions]
    there = [metric for metric in shown if any(case.latency(metric.name) for case in group.cases)]
    absent = [metric for metric in shown if metric not in there]
    if there:
        yield Chart(
            "latency_distribution",
            "Distribution of latencies",
            (
                "Over requests, rounds and launches together, so without error bars: the bar ends at the median, the"
                " line at the 99th percentile; the figures are median, 95th and 99th percentile.",
                *(f"No {metric.label}: {why_none(group.cases, metric.name)}." for metric in absent),
            ),
            measured(group),
            tuple(
                rows_panel(
                    [_distribution(group, case, metric) for case in group.cases], "milliseconds", metric.label
                )
                for metric in there
            ),
            lambda theme: [*bar_keys(group, group.cases)(theme), Key("95th percentile", _stroke(theme))],
        )


def _distribution(group: Group, case: CaseFigures, metric: Metric) -> Row:
    latency = case.latency(metric.name)
    if latency is None:
        return Row(label(group, case), look(group, series_of(case)), None, case.why_missing(metric.name))
    median, p95, p99 = (1e3 * seconds for seconds in (latency.p50_s, latency.p95_s, latency.p99_s))
    return Row(
        label=label(group, case),
        look=look(group, series_of(case)),
        value=median,
        text=f"{median:,.1f} / {p95:,.1f} / {p99:,.1f}",
        span=(median, p99),
        mark=p95,
    )


def _stroke(theme: Theme) -> Line2D:
    return Line2D([], [], color=theme.text, marker="|", markersize=11, markeredgewidth=2, linestyle="none")


def _circle(theme: Theme) -> Line2D:
    return Line2D(
        [], [], marker="o", markersize=4.5, linestyle="none",
        markerfacecolor=theme.paper, markeredgecolor=theme.text,
    )  # fmt: skip


def _cross(theme: Theme) -> Line2D:
    return Line2D(
        [], [], marker="X", markersize=6.5, linestyle="none",
        markerfacecolor=theme.paper, markeredgecolor=theme.text,
    )  # fmt: skip


def _common_counts(group: Group, engine: str) -> list[int]:
    """Return the device counts on which all strategies of an engine ran."""
    ran = [
        {case.gpus for case in group.cases if series_of(case) == series}
        for series in group.series
        if series.engine == engine
    ]
    return sorted(set.intersection(*ran))


def _or_why(case: CaseFigures, figure: Figure, value: float | None, form: str) -> str:
    return case.why_missing(figure) if value is None else form.format(value)
