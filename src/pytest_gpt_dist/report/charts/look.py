"""How a series looks in every chart: the colour is its strategy's, hatching, markers and lines are its engine's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pytest_gpt_dist.report.charts.canvas import Key, Theme, cut
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.series import Series, series_of

HUES = 8
_MARKERS = "osD^vP*X"
_LINES: tuple[Literal["-", ":", "-."], ...] = ("-", ":", "-.")
_HATCHES = ("", "////", "....", "xxxx", "||||", "oo", "\\\\\\\\", "++++")


@dataclass(frozen=True)
class Look:
    """A colour, and what tells series of one colour apart. Eight by eight do not repeat."""

    hue: int
    pattern: int

    def colour(self, theme: Theme) -> str:
        """Of bars and lines."""
        return theme.series(self.hue)

    @property
    def hatch(self) -> str:
        """Of bars."""
        return _HATCHES[self.pattern % len(_HATCHES)]

    @property
    def marker(self) -> str:
        """Of points; one of its own even where colours repeat."""
        return _MARKERS[(self.hue + self.pattern) % len(_MARKERS)]

    @property
    def line(self) -> Literal["-", ":", "-."]:
        """Of lines; not dashed, as what is no measurement is."""
        return _LINES[self.pattern % len(_LINES)]


def look(group: Group, series: Series) -> Look:
    """How a series of a group looks, which is the same in all groups of a report."""
    strategies = list(dict.fromkeys(each.strategy for each in group.palette))
    others = list(dict.fromkeys(replace(each, strategy="") for each in group.palette))
    place = strategies.index(series.strategy)
    other = others.index(replace(series, strategy=""))
    return Look(place % HUES, other + len(others) * (place // HUES))


def bar_keys(group: Group, cases: Sequence[CaseFigures]) -> Callable[[Theme], list[Key]]:
    """Return what the colours of these cases' bars mean."""
    shown = {series_of(case) for case in cases}
    return lambda theme: [
        Key(cut(str(series)), _patch(look(group, series), theme))
        for series in group.series
        if series in shown
    ]


def curve(seen: Look, theme: Theme, x: Sequence[float] = (), y: Sequence[float] = ()) -> Line2D:
    """Return a line with a marker at each point."""
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
