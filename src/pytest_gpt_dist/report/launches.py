"""What the launches of two sessions differ by, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from pytest_gpt_dist.compare.welch import CONFIDENCE, LaunchDifference

_HEADERS = ("case", "launches before", "launches after", "time", f"{CONFIDENCE:.0%} interval")
_WHY = (
    "Launches of this session and of the last one before it. They gate nothing: the interval knows what launches"
    " differ by, and not what days differ by."
)


def render_launches(described: Sequence[tuple[str, LaunchDifference]], style: str = "simple") -> str:
    """One row a case, under a sentence on what it is good for; ``style`` is tabulate's."""
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
    table = tabulate(
        rows,
        headers=_HEADERS,
        tablefmt=style,
        disable_numparse=True,
        colalign=("left", *["right"] * 4),
    )
    return f"{_WHY}\n\n{table}"
