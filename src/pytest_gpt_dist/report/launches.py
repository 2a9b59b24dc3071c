"""What the launches of two sessions differ by, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.compare.welch import CONFIDENCE, LaunchDifference
from pytest_gpt_dist.results.table import Align, Style, table

_HEADERS = ("case", "launches before", "launches after", "time", f"{CONFIDENCE:.0%} interval")
_ALIGN: tuple[Align, ...] = ("left", "right", "right", "right", "right")
_WHY = (
    "Launches of this session and of the last one before it. They gate nothing: the interval knows what launches"
    " differ by, and not what days differ by."
)


def render_launches(described: Sequence[tuple[str, LaunchDifference]], style: Style = "text") -> str:
    """Return a table with one row a case, under a sentence on what it is good for."""
    rows = [
        (
            case.rpartition("::")[2],
            str(difference.before_launches),
            str(difference.after_launches),
            f"{difference.effect:+.1%}",
            "{:+.1%} to {:+.1%}".format(*difference.interval),
        )
        for case, difference in described
    ]
    return f"{_WHY}\n\n{table(rows, _HEADERS, _ALIGN, style)}"
