"""The one writer of tables, for a terminal and for Markdown; whatever a cell holds, it is shown as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.results.text import escape

Align = Literal["left", "right"]
Style = Literal["text", "markdown"]
_TEXT = TableFormat(
    lineabove=None,
    linebelowheader=Line("", "-", "  ", ""),
    linebetweenrows=None,
    linebelow=None,
    headerrow=None,
    datarow=DataRow("", "  ", ""),
    padding=0,
    with_header_hide=None,
)


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
    above = [_cell(header, style) for header in headers]
    aligned = align or ["left"] * len(headers)
    if style == "text":
        # As a first row, because tabulate pads headers beyond what they need.
        return tabulate(
            [above, SEPARATING_LINE, *written], tablefmt=_TEXT, disable_numparse=True, colalign=aligned
        )
    return tabulate(
        written, above, tablefmt="github", disable_numparse=True, colalign=aligned if written else None
    )


def _cell(value: object, style: Style) -> str:
    line = one_line(value, LONGEST_PATH)
    return escape(line) if style == "markdown" else line
