"""The one legend of a page: an entry for every mark of any of its pictures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist

from pytest_gpt_dist.report.charts.canvas import DARK, LIGHT, Chart, Theme, render_key
from pytest_gpt_dist.report.names import in_words
from pytest_gpt_dist.report.page import Swatch


def swatches(by_section: Sequence[Sequence[Chart]]) -> list[Swatch]:
    """Draw the keys of all charts that are drawn, each label once, in the order in which they come."""
    drawn = [chart for charts in by_section for chart in charts if not chart.why_empty]
    light, dark = (_artists(drawn, theme) for theme in (LIGHT, DARK))
    titles: dict[str, set[str]] = {}
    for chart in drawn:
        for key in chart.legend(LIGHT):
            titles.setdefault(key.label, set()).add(chart.title)
    return [
        Swatch(
            label=label,
            meaning=in_words(label.partition(" ")[0]) or (f"in “{next(iter(of))}”" if len(of) == 1 else ""),
            light_png=render_key(light[label], LIGHT),
            dark_png=render_key(dark[label], DARK),
        )
        for label, of in titles.items()
    ]


def _artists(charts: Sequence[Chart], theme: Theme) -> dict[str, Artist]:
    """Return the first artist of each label: a series is a bar before it is a curve of the same colour."""
    found: dict[str, Artist] = {}
    for chart in charts:
        for key in chart.legend(theme):
            found.setdefault(key.label, key.artist)
    return found
