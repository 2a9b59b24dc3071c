"""The picture of the growth results: measured tokens per second, and the limit above them.

python -m scripts.growth.picture scripts/results/growth_cpu.json docs/pictures/growth_cpu.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scripts.growth.limit import limit_tokens_per_s
from scripts.growth.points import FACTORS, along
from scripts.growth.results import Results, read_results
from scripts.growth.table import TITLES
from scripts.preset import preset_dimensions

from pytest_gpt_dist.errors import UsageError

# Of the palette of Okabe and Ito, which colour-blind readers can tell apart.
_BLUE, _VERMILLION = "#0072B2", "#D55E00"


def draw(results: Results) -> Figure:
    """Return a panel for each factor; bars span the launches, and hollow ranks share cores."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, factor in zip(panels.flat, FACTORS, strict=True):
        _panel(axes, results, factor)
    setting, machine = results.setting, results.machine
    dates = sorted(each.date[:10] for each in results.measured)
    figure.suptitle(
        f"{setting.model}, {setting.dtype}, on {machine['cores']} cores of {machine['cpu']},"
        f" torch {machine['torch']}, {dates[-1] if dates else 'nothing measured'}",
        fontsize="medium",
    )
    return figure


def save(figure: Figure, file: Path) -> None:
    """Write the picture, the same bytes for the same results."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "growth"}):
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _panel(axes: Axes, results: Results, factor: str) -> None:
    size = preset_dimensions(results.setting.model)
    measured = [
        (getattr(point, factor), limit_tokens_per_s(size, point, figures), figures)
        for point in along(factor)
        if (figures := results.of(point)) is not None
    ]
    bounded = [(value, limit) for value, limit, _ in measured if limit is not None]
    axes.plot(
        [value for value, _ in bounded],
        [limit for _, limit in bounded],
        "--",
        color=_VERMILLION,
        label="limit",
    )
    axes.plot(
        [value for value, _, _ in measured],
        [figures.tokens_per_s for _, _, figures in measured],
        color=_BLUE,
        label="measured",
    )
    for value, _, figures in measured:
        launches = figures.launches_tokens_per_s
        axes.errorbar(
            [value],
            [figures.tokens_per_s],
            [
                [max(0.0, figures.tokens_per_s - min(launches))],
                [max(0.0, max(launches) - figures.tokens_per_s)],
            ],
            fmt="o",
            color=_BLUE,
            mfc="white" if figures.oversubscribed else _BLUE,
            capsize=3,
        )
    if factor != "ranks":
        axes.set_xscale("log", base=2)
    axes.set_xticks([value for value, _, _ in measured], [str(value) for value, _, _ in measured])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(TITLES[factor] + (" (hollow: they share cores)" if factor == "ranks" else ""))
    axes.set_ylabel("tokens/s")
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    """Draw a file of results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="file that scripts.growth.run wrote")
    parser.add_argument("picture", type=Path, help="file to write, such as growth.svg")
    given = parser.parse_args()
    try:
        if given.picture.suffix not in (".svg", ".png"):
            raise UsageError(f"{given.picture}: a picture is an .svg or a .png")
        save(draw(read_results(given.results)), given.picture)
    except UsageError as error:
        parser.exit(4, f"{error}\n")


if __name__ == "__main__":
    main()
