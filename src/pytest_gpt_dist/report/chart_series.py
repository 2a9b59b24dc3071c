"""How a series looks in every chart: the colour is its strategy's, hatching and style of line are its engine's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pytest_gpt_dist.report.chart_look import HUES, Look
from pytest_gpt_dist.report.charts.canvas import Key, Theme
from pytest_gpt_dist.report.charts.rows import cut
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.series import Series, series_of


def look(group: Group, series: Series) -> Look:
    """How a series of a group looks, which is the same in all groups of a report."""
    strategies = list(dict.fromkeys(each.strategy for each in group.palette))
    others = list(dict.fromkeys(replace(each, strategy="") for each in group.palette))
    place = strategies.index(series.strategy)
    other = others.index(replace(series, strategy=""))
    return Look(place % HUES, other + len(others) * (place // HUES))


def bar_keys(group: Group, cases: Sequence[CaseFigures]) -> Callable[[Theme], list[Key]]:
    """What the colours of these cases' bars mean."""
    shown = {series_of(case) for case in cases}
    return lambda theme: [
        Key(cut(str(series)), _patch(look(group, series), theme))
        for series in group.series
        if series in shown
    ]


def curve(seen: Look, theme: Theme, x: Sequence[float] = (), y: Sequence[float] = ()) -> Line2D:
    """A line with a marker at each point."""
    return Line2D(
        x,
        y,
        color=seen.colour(theme),
        marker=seen.marker,
        linestyle=seen.line,
        markersize=7,
        linewidth=1.8,
        zorder=2,
    )


def _patch(seen: Look, theme: Theme) -> Patch:
    return Patch(facecolor=seen.colour(theme), hatch=seen.hatch, edgecolor=theme.paper, linewidth=0)
