"""The chart of speed-up over the number of devices."""

from __future__ import annotations

from math import log2

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from pytest_gpt_dist.report.charts.canvas import Chart, Key, Panel, Theme, cut
from pytest_gpt_dist.report.charts.labels import (
    launches,
    measured,
    not_shown,
    referred,
    relative_range,
    why_none,
)
from pytest_gpt_dist.report.charts.look import curve, look
from pytest_gpt_dist.report.charts.rows import plain_axes
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.series import series_of

_APART_POINTS = 4.0
_FARTHEST_POINTS = 12.0


def scaling_curves(group: Group) -> Chart:
    """Speed-up over the number of devices."""
    shown = [case for case in group.cases if case.speedup is not None]
    absent = [case for case in group.cases if case.speedup is None]
    several = [case for case in group.cases if case.gpus > 1]
    return Chart(
        "scaling_curves",
        "Speed-up with the number of devices",
        (
            *(
                ["Hollow: ranks share cores or a GPU, or others disturbed the case."]
                if any(map(_hollow, shown))
                else []
            ),
            launches(group),
            referred(group),
            *([not_shown(absent, "speedup")] if absent else []),
        ),
        measured(group),
        (Panel(3.0, lambda axes, theme: _draw(axes, theme, group)),),
        lambda theme: [
            *(Key(cut(str(series)), curve(look(group, series), theme)) for series in group.series),
            Key("linear", Line2D([], [], color=theme.muted, linestyle="--")),
        ],
        "" if any(case.gpus > 1 for case in shown) else why_none(several, "speedup"),
    )


def _draw(axes: Axes, theme: Theme, group: Group) -> None:
    plain_axes(axes)
    axes.grid(linewidth=0.8)
    counts = sorted({1, *(case.gpus for case in group.cases)})
    width = log2(counts[-1]) or 1.0
    shown = [case for case in group.cases if case.speedup is not None]
    ranges = [found for case in shown if (found := relative_range(case, 1)) is not None]
    top = max(
        [1.0, *(case.speedup for case in shown if case.speedup is not None), *(high for _, high in ranges)]
    )
    # It leaves the plot where it is far above the cases, which must stay apart.
    axes.plot(
        [log2(count) for count in counts], counts, color=theme.muted, linestyle="--", linewidth=1.2, zorder=1
    )
    for place, series in enumerate(group.series):
        cases = sorted(
            (case for case in shown if series_of(case) == series), key=lambda case: (case.gpus, case.speedup)
        )
        if cases:
            aside = _aside(place, len(group.series)) if ranges else 0.0
            _draw_series(axes, theme, group, cases, aside)
    axes.set_xlim(-0.16 * width, 1.09 * width)
    axes.set_ylim(0, 1.1 * max(top, min(counts[-1], 1.5 * top)))
    axes.set_xticks([log2(count) for count in counts], [str(count) for count in counts])
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}×"))
    axes.set_xlabel("devices")
    axes.tick_params(axis="y", direction="in", pad=-2)
    for tick in axes.get_yticklabels():
        tick.set_horizontalalignment("left")
        tick.set_verticalalignment("bottom")


def _draw_series(axes: Axes, theme: Theme, group: Group, cases: list[CaseFigures], aside: float) -> None:
    """Draw a curve, moved ``aside`` by so many points, so that lines over launches do not hide each other."""
    seen = look(group, series_of(cases[0]))
    moved = axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    points = [(case.gpus, case.speedup) for case in cases if case.speedup is not None]
    # Every strategy begins at its reference, which is one device, without a marker where it did not run there.
    through = points if points[0][0] == 1 else [(1, 1.0), *points]
    line = curve(seen, theme, [log2(gpus) for gpus, _ in through], [gain for _, gain in through])
    line.set_markevery((len(through) - len(points), 1))
    line.set_transform(moved)
    axes.add_line(line)
    for case in cases:
        if (span := relative_range(case, 1)) is not None:
            axes.plot(
                [log2(case.gpus)] * 2,
                span,
                color=seen.colour(theme),
                linewidth=1.3,
                zorder=3,
                transform=moved,
            )
        if _hollow(case) and case.speedup is not None:
            axes.plot(
                log2(case.gpus),
                case.speedup,
                marker=seen.marker,
                markersize=7,
                markerfacecolor=theme.paper,
                markeredgecolor=seen.colour(theme),
                markeredgewidth=1.6,
                zorder=4,
                transform=moved,
            )


def _hollow(case: CaseFigures) -> bool:
    """Whether the point is not what the devices would give by themselves."""
    return bool(case.efficiency is None or case.disturbed)


def _aside(place: int, of: int) -> float:
    """How far the series at a place moves, all of them about the middle."""
    return (place - (of - 1) / 2) * min(_APART_POINTS, _FARTHEST_POINTS / of)
