"""The one writer of tables, for a terminal and for Markdown; whatever a cell holds, it is shown as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tabulate import tabulate

from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.results.text import escape

Align = Literal["left", "right"]
Style = Literal["text", "markdown"]
_FORMATS: dict[Style, str] = {"text": "simple", "markdown": "github"}


def table(
    rows: Sequence[Sequence[object]],
    headers: Sequence[str],
    align: Sequence[Align] | None = None,
    style: Style = "text",
) -> str:
    """Return a table, each cell in one line; without ``align`` every column is left-aligned.

    No cell can command a terminal, break its row, or be taken for markup.
    """
    written = [[_cell(cell, style) for cell in row] for row in rows]
    return tabulate(
        written,
        headers=[_cell(header, style) for header in headers],
        tablefmt=_FORMATS[style],
        disable_numparse=True,
        colalign=(align or ["left"] * len(headers)) if written else None,
    )


def _cell(value: object, style: Style) -> str:
    line = one_line(value, LONGEST_PATH)
    return escape(line) if style == "markdown" else line
