"""What the launches of two sessions differ by, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.compare.welch import CONFIDENCE, LaunchDifference
from pytest_gpt_dist.report.names import without_shared
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, Column, fitted_table, wrapped
from pytest_gpt_dist.results.table import Align, Style, table

_HEADERS = ("case", "launches before", "launches after", "time", f"{CONFIDENCE:.0%} interval")
_BY_PRIORITY = ("time", _HEADERS[-1], "launches before", "launches after")
_ALIGN: tuple[Align, ...] = ("left", "right", "right", "right", "right")
_WHY = (
    "Launches of this session and of the last one before it. They gate nothing: the interval knows what launches"
    " differ by, and not what days differ by."
)


def render_launches(
    described: Sequence[tuple[str, LaunchDifference]],
    style: Style = "text",
    width: int = ANY_WIDTH,
    elsewhere: str = "",
) -> str:
    """Return a table with one row a case, under a sentence on what it is good for; as text no wider than ``width``."""
    cases = [case.rpartition("::")[2] for case, _ in described]
    rows = [
        (
            str(difference.before_launches),
            str(difference.after_launches),
            f"{difference.effect:+.1%}",
            "{:+.1%} to {:+.1%}".format(*difference.interval),
        )
        for _, difference in described
    ]
    if style == "markdown":
        named = [(case, *row) for case, row in zip(cases, rows, strict=True)]
        return f"{_WHY}\n\n{table(named, _HEADERS, _ALIGN, style)}"
    shared, names = without_shared(cases)
    cells = (names, *zip(*rows, strict=True))
    columns = [Column(*column) for column in zip(_HEADERS, _ALIGN, cells, strict=True)]
    shown = fitted_table(columns, width, by_priority=_BY_PRIORITY, elsewhere=elsewhere)
    return "\n".join([*wrapped(_WHY, width), "", *wrapped(shared, width), shown])
