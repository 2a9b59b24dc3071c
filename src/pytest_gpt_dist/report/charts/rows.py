"""Rows of a chart: a name on a line of its own, below it a bar, and at the right edge its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import MultipleLocator, StrMethodFormatter

from pytest_gpt_dist.report.charts.canvas import PLOT_IN, Panel, Theme, cut
from pytest_gpt_dist.report.charts.look import Look

BAR_HEIGHT = 0.36
_ROW_IN = 0.46
_CHARACTER_IN = 0.085
_SMALLEST_GAP_IN = 0.12
_BAR = 0.64


@dataclass(frozen=True)
class Row:
    """One bar from 0 to ``value``, and ``text`` as its figure; where it is None, ``text`` says why.

    ``inner`` is the part of the bar that looks as ``inner_look``, ``span`` a thin line, ``points`` are circles,
    ``crosses`` are crosses, ``mark`` is a short stroke; all in the axis's unit. Without a value there are points and
    crosses at most.
    """

    label: str
    look: Look
    value: float | None
    text: str
    inner: float | None = None
    inner_look: Look | None = None
    span: tuple[float, float] | None = None
    points: tuple[float, ...] = ()
    crosses: tuple[float, ...] = ()
    mark: float | None = None

    @property
    def end(self) -> float:
        """The rightmost of what is drawn."""
        drawn = (self.value, self.mark, *self.points, *self.crosses, *(self.span or ()))
        return max((place for place in drawn if place is not None), default=0.0)


def rows_panel(rows: Sequence[Row], axis: str, title: str = "") -> Panel:
    """Return a plot of rows over an axis of that name."""

    def draw(axes: Axes, theme: Theme) -> None:
        _draw(axes, theme, rows, 0.0)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.set_xlabel(axis)

    return Panel(rows_in(len(rows)), draw, title)


def shares_panel(rows: Sequence[Row], axis: str, target: float) -> Panel:
    """Return a plot of rows over an axis of shares, up to 100% at least; ``target`` is a line through all of them."""

    def draw(axes: Axes, theme: Theme) -> None:
        _draw(axes, theme, rows, 1.0)
        axes.axvline(target, color=theme.muted, linestyle="--", linewidth=1.2, zorder=1)
        axes.xaxis.set_major_locator(MultipleLocator(0.2))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
        axes.set_xlabel(axis)

    return Panel(rows_in(len(rows)), draw)


def rows_in(rows: int) -> float:
    """Return the height of so many rows, in inches."""
    return _ROW_IN * max(1, rows)


def plain_axes(axes: Axes) -> None:
    """No frame, and a grid that stays behind what is drawn."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def name_rows(axes: Axes, labels: Sequence[str]) -> list[float]:
    """Room for a bar below each name; returns where their middles are."""
    plain_axes(axes)
    axes.grid(axis="x", linewidth=0.8)
    axes.set_ylim(max(1, len(labels)), 0)
    axes.set_yticks([])
    for place, label in enumerate(labels):
        axes.text(0, place + 0.41, cut(label), va="bottom", transform=axes.get_yaxis_transform())
    return [place + _BAR for place in range(len(labels))]


def write_why(axes: Axes, theme: Theme, middle: float, why: str, beside: float = 0.0) -> None:
    """Why there is no bar, in its place."""
    axes.annotate(
        cut(f"– {why}"),
        (beside, middle),
        xytext=(6 if beside else 0, 0),
        textcoords="offset points",
        va="center",
        size=9.5,
        color=theme.muted,
        style="italic",
    )


def _draw(axes: Axes, theme: Theme, rows: Sequence[Row], least: float) -> None:
    middles = name_rows(axes, [row.label for row in rows])
    largest = max([least, *(row.end for row in rows)]) or 1.0
    column_in = max((len(row.text) * _CHARACTER_IN for row in rows if row.value is not None), default=0.0)
    axes.set_xlim(0, largest / (1 - min(0.5, (column_in + _SMALLEST_GAP_IN) / PLOT_IN)))
    for middle, row in zip(middles, rows, strict=True):
        _draw_row(axes, theme, middle, row)


def _draw_row(axes: Axes, theme: Theme, middle: float, row: Row) -> None:
    for places, marker, size in ((row.points, "o", 4.5), (row.crosses, "X", 6.5)):
        if places:
            axes.plot(
                places,
                [middle] * len(places),
                linestyle="none",
                marker=marker,
                markersize=size,
                markerfacecolor=theme.paper,
                markeredgecolor=theme.text,
                clip_on=False,
            )
    if row.value is None:
        write_why(axes, theme, middle, row.text, beside=row.end)
        return
    _draw_bar(axes, theme, middle, row.value, row.look)
    if row.inner is not None and row.inner_look is not None:
        _draw_bar(axes, theme, middle, row.inner, row.inner_look)
    if row.span is not None:
        low, high = sorted(row.span)
        line = axes.errorbar(
            (low + high) / 2, middle, xerr=(high - low) / 2, color=theme.text, capsize=3, linewidth=1.3
        )
        for part in line.get_children():
            part.set_path_effects(_outlined(theme))
    if row.mark is not None:
        half = BAR_HEIGHT / 2 + 0.02
        axes.plot(
            [row.mark] * 2,
            [middle - half, middle + half],
            color=theme.text,
            linewidth=2,
            path_effects=_outlined(theme),
        )
    # Not behind the bar, where it would be taken for the figure of the mark that it stands beside.
    axes.text(1, middle, row.text, ha="right", va="center", size=9.5, transform=axes.get_yaxis_transform())


def _draw_bar(axes: Axes, theme: Theme, middle: float, value: float, look: Look) -> None:
    axes.barh(
        middle,
        value,
        height=BAR_HEIGHT,
        color=look.colour(theme),
        hatch=look.hatch,
        edgecolor=theme.paper,
        linewidth=0,
    )


def _outlined(theme: Theme) -> list[AbstractPathEffect]:
    """Return what makes a line visible on a bar of any colour."""
    return [withStroke(linewidth=3.2, foreground=theme.paper)]
