"""The charts of a group: what each shows, against what, and measured with what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter

from pytest_gpt_dist.report.chart_canvas import BLUE, SKY, Chart, Key, Panel, Theme
from pytest_gpt_dist.report.chart_losses import lost_efficiency
from pytest_gpt_dist.report.chart_rows import Row, cut, plain_axes, rows_panel
from pytest_gpt_dist.report.chart_words import label, launches, measured, not_shown, referred
from pytest_gpt_dist.report.figures import CaseFigures, Figure, Latency
from pytest_gpt_dist.report.findings import EFFICIENCY_TARGET, Group, Series, series_of

_MIB = 2**20
_MARKERS = "osD^vP*X"


def charts(group: Group) -> tuple[Chart, ...]:
    """All of them, in the order of a report."""
    return (
        throughput_comparison(group),
        latency_comparison(group),
        parallel_efficiency(group),
        lost_efficiency(group),
        avg_throughput_per_gpu(group),
        scaling_curves(group),
        memory_per_rank(group),
        latency_distribution(group),
    )


def throughput_comparison(group: Group) -> Chart:
    """Tokens per second of every case."""
    rows = [
        Row(
            label=label(group, case),
            colour=_colour(group, series_of(case)),
            value=case.tokens_per_s,
            text=f"{case.tokens_per_s:,.1f}",
            span=case.launch_range_tokens_per_s,
        )
        for case in group.cases
    ]
    return Chart(
        "throughput_comparison",
        "Throughput of the whole world",
        (
            f"Generated tokens of all devices together, mean over the rounds. {launches(group)}",
            *measured(group),
        ),
        (rows_panel(rows, "tokens/s"),),
        _series_keys(group, group.cases),
    )


def latency_comparison(group: Group) -> Chart:
    """Where the time of a request goes."""
    rows = [
        Row(
            label=label(group, case),
            colour=lambda _: SKY,
            value=case.latency.mean_s * 1e3,
            text=f"{case.latency.mean_s * 1e3:,.1f} ms",
            inner=case.ttft.mean_s * 1e3,
            inner_colour=BLUE,
            mark=case.latency.p95_s * 1e3,
        )
        for case in group.cases
    ]
    return Chart(
        "latency_comparison",
        "Latency of a request",
        (
            "From the start of its batch to its last token: bar and figure are the mean over requests and rounds.",
            *measured(group),
        ),
        (rows_panel(rows, "milliseconds"),),
        lambda theme: [
            Key("to the first token (TTFT)", Patch(color=BLUE)),
            Key("all further tokens", Patch(color=SKY)),
            Key("95th percentile of the whole", _stroke(theme)),
        ],
    )


def parallel_efficiency(group: Group) -> Chart:
    """What each case on several devices makes of them."""
    several = [case for case in group.cases if case.gpus > 1]
    rows = [
        Row(
            label=label(group, case),
            colour=_colour(group, series_of(case)),
            value=case.efficiency,
            text=_or_why(case, "efficiency", case.efficiency, "{:.0%}"),
            span=None if case.efficiency is None else _relative_range(case, case.gpus),
        )
        for case in several
    ]
    return Chart(
        "parallel_efficiency",
        "Parallel efficiency",
        (
            f"Speed-up ÷ devices. {launches(group)}",
            referred(group),
            *measured(group),
        ),
        (rows_panel(rows, "share of a linear speed-up", target=EFFICIENCY_TARGET),),
        lambda theme: [
            *_series_keys(group, several)(theme),
            Key(f"target: {EFFICIENCY_TARGET:.0%}", Line2D([], [], color=theme.muted, linestyle="--")),
        ],
    )


def avg_throughput_per_gpu(group: Group) -> Chart:
    """What a device contributes, by strategy; means of other device counts would not compare."""
    common = {series.engine: _common_counts(group, series.engine) for series in group.series}
    rows = []
    for series in group.series:
        cases = [case for case in group.cases if series_of(case) == series]
        compared = [case.tokens_per_s_per_gpu for case in cases if case.gpus in common[series.engine]]
        mean = fmean(compared) if compared else None
        by_count = ", ".join(f"{case.gpus}: {case.tokens_per_s_per_gpu:,.0f}" for case in cases)
        rows.append(
            Row(
                label=f"{series} ({by_count})",
                colour=_colour(group, series),
                value=mean,
                text="no count in common" if mean is None else f"mean {mean:,.1f}",
                points=tuple(case.tokens_per_s_per_gpu for case in cases),
            )
        )
    over = "; ".join(
        (f"{engine}: " if len(common) > 1 else "") + (", ".join(map(str, counts)) or "none")
        for engine, counts in common.items()
    )
    crowded = any(case.oversubscribed for case in group.cases)
    return Chart(
        "avg_throughput_per_gpu",
        "Mean throughput of a device",
        (
            f"Bars: the mean over the device counts that all strategies of an engine have ({over}). In brackets, and as"
            " circles: each count."
            + (" Oversubscribed ranks share cores, and count as devices nevertheless." if crowded else ""),
            *measured(group),
        ),
        (rows_panel(rows, "tokens/s of a device"),),
        lambda theme: [Key("one device count", _circle(theme))],
    )


def scaling_curves(group: Group) -> Chart:
    """Speed-up over the number of devices."""
    absent = [case for case in group.cases if case.speedup is None]
    return Chart(
        "scaling_curves",
        "Speed-up with the number of devices",
        (
            f"Hollow: ranks share cores or a GPU. {launches(group)}",
            referred(group),
            *([not_shown(absent, "speedup")] if absent else []),
            *measured(group),
        ),
        (Panel(3.4, lambda axes, theme: _draw_curves(axes, theme, group)),),
        lambda theme: [
            *(Key(cut(str(series)), _curve(group, series, theme)) for series in group.series),
            Key("linear", Line2D([], [], color=theme.muted, linestyle="--")),
        ],
    )


def memory_per_rank(group: Group) -> Chart:
    """The peak of every rank, beside what its weights take."""
    rows = []
    for case in group.cases:
        ranks = [size / _MIB for size in case.peak_memory_bytes if size is not None]
        weights = [size / _MIB for size in case.parameter_bytes if size is not None]
        largest = max(ranks, default=None)
        rows.append(
            Row(
                label=label(group, case),
                colour=_colour(group, series_of(case)),
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
            *measured(group),
        ),
        (rows_panel(rows, "MiB"),),
        lambda theme: [
            *_series_keys(group, group.cases)(theme),
            Key("one rank", _circle(theme)),
            Key("weights alone", _stroke(theme)),
        ],
    )


def latency_distribution(group: Group) -> Chart:
    """How far the slow ones are from the usual ones."""
    return Chart(
        "latency_distribution",
        "Distribution of latencies",
        (
            "Over requests, rounds and launches: the bar ends at the median, the line at the 99th percentile;"
            " behind them median, 95th and 99th percentile.",
            *measured(group),
        ),
        (
            rows_panel(
                [_distribution(group, case, case.ttft) for case in group.cases],
                "milliseconds",
                "To the first token (TTFT)",
            ),
            rows_panel(
                [_distribution(group, case, case.itl) for case in group.cases],
                "milliseconds",
                "Between two tokens (ITL)",
            ),
        ),
        lambda theme: [*_series_keys(group, group.cases)(theme), Key("95th percentile", _stroke(theme))],
    )


def _distribution(group: Group, case: CaseFigures, latency: Latency | None) -> Row:
    if latency is None:
        why = case.why_missing("itl_s")
        return Row(label(group, case), _colour(group, series_of(case)), None, why)
    median, p95, p99 = (1e3 * seconds for seconds in (latency.p50_s, latency.p95_s, latency.p99_s))
    return Row(
        label=label(group, case),
        colour=_colour(group, series_of(case)),
        value=median,
        text=f"{median:,.1f} / {p95:,.1f} / {p99:,.1f}",
        span=(median, p99),
        mark=p95,
    )


def _draw_curves(axes: Axes, theme: Theme, group: Group) -> None:
    plain_axes(axes)
    axes.grid(linewidth=0.8)
    counts = sorted({1, *(case.gpus for case in group.cases)})
    shown = [case for case in group.cases if case.speedup is not None]
    top = max([1.0, *(case.speedup for case in shown if case.speedup is not None)])
    # The scale is by doublings. Linear goes on to the top alone, for what is far below it must stay apart.
    linear = [count for count in counts if count <= max(2.0, 1.5 * top)]
    axes.plot([log2(count) for count in linear], linear, color=theme.muted, linestyle="--", zorder=1)
    for series in group.series:
        points = sorted(
            (case.gpus, case.speedup)
            for case in shown
            if series_of(case) == series and case.speedup is not None
        )
        if not points:
            continue
        # Every strategy begins at its reference, which is one device, without a marker where it did not run there.
        curve = points if points[0][0] == 1 else [(1, 1.0), *points]
        line = _curve(group, series, theme, [log2(gpus) for gpus, _ in curve], [gain for _, gain in curve])
        line.set_markevery((len(curve) - len(points), 1))
        axes.add_line(line)
    for case in shown:
        series = series_of(case)
        colour = _colour(group, series)(theme)
        if (span := _relative_range(case, 1)) is not None:
            axes.plot([log2(case.gpus)] * 2, span, color=colour, linewidth=1.3, zorder=3)
        if case.efficiency is None and case.speedup is not None:
            axes.plot(
                log2(case.gpus),
                case.speedup,
                marker=_marker(group, series),
                markerfacecolor=theme.paper,
                markeredgecolor=colour,
                markeredgewidth=1.6,
                zorder=4,
            )
    width = log2(counts[-1]) or 1.0
    axes.set_xlim(-0.13 * width, 1.07 * width)
    axes.set_ylim(0, 1.1 * max([top, *linear]))
    axes.set_xticks([log2(count) for count in counts], [str(count) for count in counts])
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}×"))
    axes.set_xlabel("devices")
    axes.tick_params(axis="y", direction="in", pad=-2)
    for tick in axes.get_yticklabels():
        tick.set_horizontalalignment("left")
        tick.set_verticalalignment("bottom")


def _curve(
    group: Group, series: Series, theme: Theme, x: Sequence[float] = (), y: Sequence[float] = ()
) -> Line2D:
    return Line2D(
        x,
        y,
        color=_colour(group, series)(theme),
        marker=_marker(group, series),
        markersize=7,
        linewidth=1.8,
        zorder=2,
    )


def _marker(group: Group, series: Series) -> str:
    return _MARKERS[group.series.index(series) % len(_MARKERS)]


def _colour(group: Group, series: Series) -> Callable[[Theme], str]:
    place = group.series.index(series)
    return lambda theme: theme.series(place)


def _series_keys(group: Group, cases: Sequence[CaseFigures]) -> Callable[[Theme], list[Key]]:
    shown = {series_of(case) for case in cases}
    return lambda theme: [
        Key(cut(str(series)), Patch(color=_colour(group, series)(theme)))
        for series in group.series
        if series in shown
    ]


def _stroke(theme: Theme) -> Line2D:
    return Line2D([], [], color=theme.text, marker="|", markersize=11, markeredgewidth=2, linestyle="none")


def _circle(theme: Theme) -> Line2D:
    return Line2D(
        [], [], marker="o", markersize=4.5, linestyle="none",
        markerfacecolor=theme.paper, markeredgecolor=theme.text,
    )  # fmt: skip


def _common_counts(group: Group, engine: str) -> list[int]:
    """The device counts on which all strategies of an engine ran."""
    ran = [
        {case.gpus for case in group.cases if series_of(case) == series}
        for series in group.series
        if series.engine == engine
    ]
    return sorted(set.intersection(*ran))


def _or_why(case: CaseFigures, figure: Figure, value: float | None, form: str) -> str:
    return case.why_missing(figure) if value is None else form.format(value)


def _relative_range(case: CaseFigures, of: int) -> tuple[float, float] | None:
    """The slowest and the fastest launch, as multiples of the reference on ``of`` devices."""
    found = case.launch_range_tokens_per_s
    if found is None or case.reference is None:
        return None
    low, high = (figure / case.reference.tokens_per_s / of for figure in found)
    return low, high
