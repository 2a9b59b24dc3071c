"""A picture of a chart: its paper, colours, title, legend and caption, laid out in inches."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

WIDTH_IN = 4.5
PLOT_IN = 4.1
"""Width of the plot; narrow, so that a phone shows the texts at a readable size."""
LONGEST_LABEL = 52
"""Characters of a name beside or above what is drawn."""
_SIDE_IN = 0.2
_LINE_IN = 0.2
_KEY_IN = 0.18
_ABOVE_IN = 0.07
_SWATCH_IN = (0.36, 0.18)
_CAPTION_LINE_IN = 0.165
_DPI = 160
_TALLEST_PX = 2**15  # of what Agg can draw, the half
_TITLE_COLUMNS = 38
_CAPTION_COLUMNS = 66
_LONG_LABEL = 21
_COLOURS = 48  # a quarter of the bytes, and nobody sees the difference


@dataclass(frozen=True)
class Theme:
    """Colours of the paper and of what is written on it; ``ink`` is the eighth colour of the series."""

    paper: str
    text: str
    muted: str
    grid: str
    ink: str

    def series(self, place: int) -> str:
        """Return the colour of the series at a place; they repeat after eight."""
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
class Drawn:
    """A picture as PNG: the whole of it, and its plots alone, for a page that has title, legend and caption as text."""

    whole: bytes
    plots: bytes


@dataclass(frozen=True)
class Chart:
    """A picture, not yet drawn. ``name`` is that of its file without the suffix.

    ``caption`` says how to read it, ``measured`` what was measured, where and when. Where there is nothing to show,
    ``why_empty`` says why, and it is not to be drawn.
    """

    name: str
    title: str
    caption: tuple[str, ...]
    measured: tuple[str, ...]
    panels: tuple[Panel, ...]
    legend: Callable[[Theme], Sequence[Key]]
    why_empty: str = ""

    def draw(self, theme: Theme) -> Drawn:
        """Draw it."""
        return render(self.title, (*self.caption, *self.measured), self.panels, self.legend, theme)


def render(
    title: str,
    caption: Sequence[str],
    panels: Sequence[Panel],
    legend: Callable[[Theme], Sequence[Key]],
    theme: Theme,
) -> Drawn:
    """Return the picture; the same input gives the same bytes."""
    with _settings(theme):
        keys = legend(theme)
        columns = 1 if any(len(key.label) > _LONG_LABEL for key in keys) else 2
        titled = textwrap.wrap(title, _TITLE_COLUMNS)
        told = [line for part in caption for line in textwrap.wrap(part, _CAPTION_COLUMNS)]
        legend_in = -(-len(keys) // columns) * _KEY_IN
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
        drawn = BytesIO()
        figure.savefig(drawn, dpi=dpi, format="png", pil_kwargs={"compress_level": 1})
        picture = _with_palette(np.asarray(Image.open(drawn).convert("RGB")))
        # The uppermost label of an axis stands out of it.
        kept_in = (top_in - _ABOVE_IN, height_in - bottom_in)
        start, end = (round(picture.height * part / height_in) for part in kept_in)
        return Drawn(_png(picture), _png(picture.crop((0, start, picture.width, end))))


def render_key(artist: Artist, theme: Theme) -> bytes:
    """Return what stands before one entry of a legend, as PNG, for a page that has its label as text."""
    with _settings(theme):
        figure = Figure(figsize=_SWATCH_IN, dpi=_DPI)
        figure.legend(
            [artist],
            [""],
            loc="center",
            borderpad=0,
            borderaxespad=0,
            handletextpad=0,
            handlelength=2.4,
            frameon=False,
        )
        drawn = BytesIO()
        figure.savefig(drawn, dpi=_DPI, format="png")
        return _png(_with_palette(np.asarray(Image.open(drawn).convert("RGB"))))


def _with_palette(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return a picture of the most frequent colours, those of all areas; the others become the nearest of them."""
    packed = pixels.astype(np.int64) @ (2**16, 2**8, 1)
    found, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)
    kept = colours[np.argsort(-counts, kind="stable")[:_COLOURS]]
    nearest = ((colours[:, None] - kept) ** 2).sum(axis=-1).argmin(axis=-1).astype(np.uint8)
    picture = Image.fromarray(nearest[places].reshape(packed.shape))
    picture.putpalette(kept.astype(np.uint8).tobytes())
    return picture


def _png(picture: Image.Image) -> bytes:
    written = BytesIO()
    picture.save(written, format="png", optimize=True)
    return written.getvalue()


def _outer_in(panel: Panel) -> float:
    """With the ticks and the label of the axis below."""
    return panel.height_in + (_LINE_IN + 0.1 if panel.title else 0.05) + 0.45


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


def cut(text: str, longest: int = LONGEST_LABEL) -> str:
    """As much of a text as fits; what is cut out is the middle, since names differ at their ends."""
    if len(text) <= longest:
        return text
    head = longest // 2
    return f"{text[:head]}…{text[head + 1 - longest :]}"
