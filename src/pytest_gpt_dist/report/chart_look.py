"""What tells one series from another: a colour, and where colours repeat hatching, markers and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pytest_gpt_dist.report.charts.canvas import Theme

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
