"""The charts of trainings alone: the memory of each rank by kind, and the losses of all on top of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pytest_gpt_dist.report.charts.canvas import BLUE, LIGHT, ORANGE, PINK, SKY, Chart, Key, Panel, Theme
from pytest_gpt_dist.report.charts.labels import label, measured
from pytest_gpt_dist.report.charts.rows import BAR_HEIGHT, name_rows, plain_axes, rows_in
from pytest_gpt_dist.report.charts.time_lost import Kind
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.training import TrainingFigures

_MIB = 2**20
_KINDS = (
    Kind("parameters", lambda _: BLUE, lambda _: LIGHT.paper),
    Kind("gradients", lambda _: ORANGE, lambda _: LIGHT.text, "///"),
    Kind("optimizer", lambda _: PINK, lambda _: LIGHT.text, "xxx"),
    Kind("rest", lambda _: SKY, lambda _: LIGHT.text, "..."),
)
_CURVES_IN = 2.4
_DASHES = ("-", "--", ":", "-.")


def training_charts(group: Group) -> Iterator[Chart]:
    """Return them, of groups of trainings."""
    trained = [(case, case.training) for case in group.cases if case.training is not None]
    if not trained:
        return
    bars = [
        (f"{label(group, case)} · rank {rank}", of_rank)
        for case, training in trained
        for rank, of_rank in enumerate(training.memory_bytes)
    ]
    yield Chart(
        "memory_by_kind",
        "Memory of each rank by kind",
        (
            "Parameters, gradients and optimizer state as they are held; the rest of the peak of the timed steps is"
            " activations, buffers, and parameters that are gathered for a while.",
        ),
        measured(group),
        (Panel(rows_in(len(bars)), partial(_draw_memory, bars=bars)),),
        lambda theme: [Key(kind.name, kind.dress(Patch(), theme)) for kind in _KINDS],
    )
    yield Chart(
        "loss_curves",
        "Losses of the checked steps",
        (
            "All cases on top of each other, each device count in one colour. Cases with as many rows in a step train"
            " on the same ones, so that a line that stands apart is of other batches, or of compressed gradients.",
        ),
        measured(group),
        (Panel(_CURVES_IN, partial(_draw_losses, trained=trained)),),
        lambda theme: [
            Key("1 device" if gpus == 1 else f"{gpus} devices", Line2D([], [], **_style(theme, place)))
            for place, gpus in enumerate(_counts(trained))
        ],
    )


def _draw_memory(axes: Axes, theme: Theme, *, bars: list[tuple[str, Mapping[str, float]]]) -> None:
    middles = name_rows(axes, [name for name, _ in bars])
    axes.set_xlabel("MiB")
    axes.set_xlim(0, max([1.0, *(sum(kinds.values()) / _MIB for _, kinds in bars)]))
    for middle, (_, kinds) in zip(middles, bars, strict=True):
        start = 0.0
        for kind in _KINDS:
            size = kinds.get(kind.name, 0.0) / _MIB
            (bar,) = axes.barh(middle, size, left=start, height=BAR_HEIGHT, linewidth=0.8)
            kind.dress(bar, theme)
            start += size


def _draw_losses(axes: Axes, theme: Theme, *, trained: list[tuple[CaseFigures, TrainingFigures]]) -> None:
    plain_axes(axes)
    axes.grid(axis="y", linewidth=0.8)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(axis="y", pad=-28)  # within the plot, which has no room at its left
    axes.margins(x=0.1)
    counts = _counts(trained)
    for case, training in trained:
        style = _style(theme, counts.index(case.gpus))
        axes.plot(range(1, len(training.losses) + 1), training.losses, **style)


def _style(theme: Theme, place: int) -> dict[str, Any]:
    """Return how the lines of a device count look; dashed each in its way, as lines lie on each other."""
    return {"color": theme.series(place), "linestyle": _DASHES[place % len(_DASHES)], "linewidth": 2.2}


def _counts(trained: list[tuple[CaseFigures, TrainingFigures]]) -> list[int]:
    return sorted({case.gpus for case, _ in trained})
