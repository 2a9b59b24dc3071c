"""A picture of a chart: its paper, colours, title, legend and caption, laid out in inches."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH_IN = 6.0
PLOT_IN = 5.5
"""Width of the plot; narrow, so that a phone shows the texts at a readable size."""
_SIDE_IN = 0.25
_LINE_IN = 0.2
_CAPTION_LINE_IN = 0.165
_DPI = 160
_TALLEST_PX = 2**15  # of what Agg can draw, the half
_CAPTION_COLUMNS = 84
_LONG_LABEL = 34


@dataclass(frozen=True)
class Theme:
    """Colours of the paper and of what is written on it; ``ink`` is the eighth colour of the series."""

    paper: str
    text: str
    muted: str
    grid: str
    ink: str

    def series(self, place: int) -> str:
        """The colour of the series at a place; they repeat after eight."""
        return (*_OKABE_ITO, self.ink)[place % (len(_OKABE_ITO) + 1)]


# Okabe and Ito's palette, which readers of any colour vision can tell apart; their black is a theme's ink.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
BLUE, ORANGE, GREEN, VERMILLION, PINK, SKY, _ = _OKABE_ITO
LIGHT = Theme(paper="#ffffff", text="#1a1a1a", muted="#595959", grid="#dddddd", ink="#000000")
DARK = Theme(paper="#16181d", text="#ececec", muted="#a9b0ba", grid="#3a3e47", ink="#ffffff")


@dataclass(frozen=True)
class Panel:
    """A plot of a height; ``draw`` fills it."""

    height_in: float
    draw: Callable[[Axes, Theme], None]
    title: str = ""


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    label: str
    artist: Artist


@dataclass(frozen=True)
class Chart:
    """A picture, not yet drawn. ``name`` is that of its file without the suffix."""

    name: str
    title: str
    caption: tuple[str, ...]
    panels: tuple[Panel, ...]
    legend: Callable[[Theme], Sequence[Key]]

    def png(self, theme: Theme) -> bytes:
        """Draw it."""
        return render(self.title, self.caption, self.panels, self.legend, theme)


def render(
    title: str,
    caption: Sequence[str],
    panels: Sequence[Panel],
    legend: Callable[[Theme], Sequence[Key]],
    theme: Theme,
) -> bytes:
    """The picture as PNG; the same input gives the same bytes."""
    with _settings(theme):
        keys = legend(theme)
        columns = 1 if any(len(key.label) > _LONG_LABEL for key in keys) else 2
        titled = textwrap.wrap(title, 52)
        told = [line for part in caption for line in textwrap.wrap(part, _CAPTION_COLUMNS)]
        legend_in = -(-len(keys) // columns) * _LINE_IN
        top_in = 0.2 + 0.25 * len(titled) + legend_in
        bottom_in = 0.15 + _CAPTION_LINE_IN * len(told)
        height_in = top_in + bottom_in + sum(_outer_in(panel) for panel in panels)
        dpi = min(_DPI, _TALLEST_PX / height_in)
        figure = Figure(figsize=(WIDTH_IN, height_in), dpi=dpi)
        left = _SIDE_IN / WIDTH_IN
        figure.text(left, 1 - 0.1 / height_in, "\n".join(titled), va="top", weight="bold", size=12.5)
        if keys:
            figure.legend(
                [key.artist for key in keys],
                [key.label for key in keys],
                loc="upper left",
                bbox_to_anchor=(left, 1 - (0.12 + 0.25 * len(titled)) / height_in),
                ncols=columns,
                borderaxespad=0,
                borderpad=0,
                labelspacing=0.35,
                frameon=False,
            )
        figure.text(left, 0.1 / height_in, "\n".join(told), va="bottom", size=8.5, color=theme.muted)
        above_in = top_in
        for panel in panels:
            start_in = above_in + (_LINE_IN + 0.1 if panel.title else 0.05)
            bottom = 1 - (start_in + panel.height_in) / height_in
            axes = figure.add_axes((left, bottom, PLOT_IN / WIDTH_IN, panel.height_in / height_in))
            axes.set_title(panel.title, loc="left", size=10.5, weight="bold")
            panel.draw(axes, theme)
            above_in += _outer_in(panel)
        picture = BytesIO()
        figure.savefig(picture, dpi=dpi, format="png", metadata={"Software": None})
        return picture.getvalue()


def _outer_in(panel: Panel) -> float:
    """With the ticks and the label of the axis below."""
    return panel.height_in + (_LINE_IN + 0.1 if panel.title else 0.05) + 0.5


@contextmanager
def _settings(theme: Theme) -> Iterator[None]:
    """Nothing of the user's own style, and no text taken for a formula."""
    with (
        mpl.rc_context(
            {
                "text.usetex": False,
                "text.parse_math": False,
                "axes.formatter.use_mathtext": False,
                "font.family": ["DejaVu Sans"],
                "font.size": 10,
                "text.color": theme.text,
                "axes.labelcolor": theme.text,
                "axes.edgecolor": theme.grid,
                "axes.facecolor": theme.paper,
                "axes.titlecolor": theme.text,
                "figure.facecolor": theme.paper,
                "savefig.facecolor": theme.paper,
                "savefig.bbox": None,
                "grid.color": theme.grid,
                "xtick.color": theme.muted,
                "ytick.color": theme.muted,
                "legend.fontsize": 9.5,
            }
        ),
        warnings.catch_warnings(),
    ):
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
