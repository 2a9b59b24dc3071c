"""Rows of a chart: a name on a line of its own, below it a bar, and behind that its figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import StrMethodFormatter

from pytest_gpt_dist.report.chart_canvas import PLOT_IN, Panel, Theme

BAR_HEIGHT = 0.36
_ROW_IN = 0.46
_CHARACTER_IN = 0.085
_LONGEST_LABEL = 62
_BAR = 0.64


@dataclass(frozen=True)
class Row:
    """One bar from 0 to ``value``, and ``text`` behind it; where that is None there is no bar, and ``text`` says why.

    ``inner`` is the part of the bar in ``inner_colour``, ``span`` a thin line, ``points`` are circles, ``mark`` is a
    short stroke; all in the axis's unit. Without a value there are the points at most.
    """

    label: str
    colour: Callable[[Theme], str]
    value: float | None
    text: str
    inner: float | None = None
    inner_colour: str = ""
    span: tuple[float, float] | None = None
    points: tuple[float, ...] = ()
    mark: float | None = None

    @property
    def end(self) -> float:
        """The rightmost of what is drawn."""
        drawn = (self.value, self.mark, *self.points, *(self.span or ()))
        return max((place for place in drawn if place is not None), default=0.0)


def rows_panel(rows: Sequence[Row], axis: str, title: str = "", target: float | None = None) -> Panel:
    """A plot of rows over an axis of that name; ``target`` is a line through all of them."""

    def draw(axes: Axes, theme: Theme) -> None:
        _draw(axes, theme, rows, target)
        axes.set_xlabel(axis)

    return Panel(rows_in(len(rows)), draw, title)


def rows_in(rows: int) -> float:
    """The height of so many rows, in inches."""
    return _ROW_IN * max(1, rows)


def cut(text: str, longest: int = _LONGEST_LABEL) -> str:
    """As much of a text as fits; what is cut out is the middle, since names differ at their ends."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def plain_axes(axes: Axes) -> None:
    """No frame, and a grid that stays behind what is drawn."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def name_rows(axes: Axes, theme: Theme, labels: Sequence[str]) -> list[float]:
    """Room for a bar below each name; returns where their middles are."""
    plain_axes(axes)
    axes.grid(axis="x", linewidth=0.8)
    axes.set_ylim(max(1, len(labels)), 0)
    axes.set_yticks([])
    if not labels:
        axes.text(0, 0.5, "no such case", color=theme.muted, style="italic", va="center")
    for place, label in enumerate(labels):
        axes.text(0, place + 0.41, cut(label), va="bottom", transform=axes.get_yaxis_transform())
    return [place + _BAR for place in range(len(labels))]


def write_why(axes: Axes, theme: Theme, middle: float, why: str, beside: float = 0.0) -> None:
    """Why there is no bar, in its place."""
    _write(axes, beside, middle, cut(f"– {why}"), color=theme.muted, style="italic")


def _draw(axes: Axes, theme: Theme, rows: Sequence[Row], target: float | None) -> None:
    middles = name_rows(axes, theme, [row.label for row in rows])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    largest = max((row.end for row in rows), default=0.0) or 1.0
    largest = max(largest, target or 0.0)
    behind = max((len(row.text) for row in rows if row.end > 0), default=0)
    axes.set_xlim(0, largest / (1 - min(0.5, behind * _CHARACTER_IN / PLOT_IN)))
    if target is not None:
        axes.axvline(target, color=theme.muted, linestyle="--", linewidth=1.2, zorder=1)
    for middle, row in zip(middles, rows, strict=True):
        _draw_row(axes, theme, middle, row)


def _draw_row(axes: Axes, theme: Theme, middle: float, row: Row) -> None:
    if row.points:
        axes.plot(
            row.points,
            [middle] * len(row.points),
            "o",
            markersize=4.5,
            markerfacecolor=theme.paper,
            markeredgecolor=theme.text,
            clip_on=False,
        )
    if row.value is None:
        write_why(axes, theme, middle, row.text, beside=max(row.points, default=0.0))
        return
    axes.barh(middle, row.value, height=BAR_HEIGHT, color=row.colour(theme))
    if row.inner is not None:
        axes.barh(middle, row.inner, height=BAR_HEIGHT, color=row.inner_colour)
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
    _write(axes, row.end, middle, row.text)


def _write(axes: Axes, beside: float, middle: float, text: str, **look: Any) -> None:
    away = (6 if beside else 0, 0)
    axes.annotate(
        text, (beside, middle), xytext=away, textcoords="offset points", va="center", size=9.5, **look
    )


def _outlined(theme: Theme) -> list[AbstractPathEffect]:
    """What makes a line visible on a bar of any colour."""
    return [withStroke(linewidth=3.2, foreground=theme.paper)]
