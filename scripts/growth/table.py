"""The Markdown of the growth results: one table for each factor."""

from __future__ import annotations

from scripts.figures import Figures
from scripts.growth.limit import limit_tokens_per_s
from scripts.growth.points import FACTORS, Point, along
from scripts.growth.results import Results
from scripts.preset import preset_dimensions
from tabulate import tabulate

TITLES = {
    "batch_size": "batch size",
    "prompt_tokens": "prompt tokens",
    "new_tokens": "new tokens",
    "ranks": "ranks",
}


def tables(results: Results) -> str:
    """Return a table for each factor; points that were not measured yet have no row."""
    return "\n\n".join(_table(results, factor) for factor in FACTORS)


def _table(results: Results, factor: str) -> str:
    rows = [
        (str(getattr(point, factor)), *_cells(results, point, figures))
        for point in along(factor)
        if (figures := results.of(point)) is not None
    ]
    headers = (TITLES[factor], "tokens/s", "limit", "of limit", "marks")
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _cells(results: Results, point: Point, figures: Figures) -> tuple[str, ...]:
    limit = limit_tokens_per_s(preset_dimensions(results.setting.model), point, figures)
    return (
        f"{figures.tokens_per_s:.1f}",
        "" if limit is None else f"{limit:.1f}",
        "" if limit is None else f"{figures.tokens_per_s / limit:.0%}",
        ", ".join(figures.remarks),
    )
