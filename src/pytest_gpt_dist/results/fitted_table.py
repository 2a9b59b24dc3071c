"""A table no wider than the terminal: what matters less is left out by name, and notes are wrapped. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.results.table import Align, table

ANY_WIDTH = 10**6
"""Columns in which every table fits."""
OF_A_SESSION = "the saved JSON and --gpt-report have them"
"""Where what a session's table leaves out is."""
_GAP = 2
_NARROWEST = 20
_INDENT = "  "


@dataclass(frozen=True)
class Column:
    """A header and a cell for each row."""

    header: str
    align: Align
    cells: Sequence[str]


def fitted_table(
    columns: Sequence[Column],
    width: int,
    *,
    by_priority: Sequence[str],
    elsewhere: str,
    notes: Sequence[str] = (),
) -> str:
    """Return a table of the first column and of as many others as fit.

    ``by_priority`` names the others, those first that stay longest; a last line names those that are left out, and
    ``elsewhere`` says where they are. A row's note stands below it, and below the table if all rows have the same.
    Where the names in the first column would take more than half the width, each stands above its row.
    """
    first, others = columns[0], columns[1:]
    stacked = _width_of(first) > width // 2
    used = len(_INDENT) - _GAP if stacked else _width_of(first)
    kept: list[str] = []
    for column in sorted(others, key=lambda column: by_priority.index(column.header)):
        used += _GAP + _width_of(column)
        if used > width:
            break
        kept.append(column.header)
    shown = [column for column in others if column.header in kept]
    shared = notes[0] if len(notes) > 1 and len(set(notes)) == 1 else ""
    below = ["" for _ in first.cells] if shared or not notes else notes
    lines = _stacked(first, shown, below, width) if stacked else _in_rows([first, *shown], below, width)
    if shared:
        lines += wrapped(f"All of them: {shared}", width)
    if left_out := [column.header for column in others if column.header not in kept]:
        lines += wrapped(f"Left out at {width} columns: {', '.join(left_out)} ({elsewhere})", width)
    return "\n".join(lines)


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return the lines of a text that is wrapped at words; a word is only cut where it alone is wider."""
    return textwrap.wrap(
        one_line(text, LONGEST_PATH),
        max(width, _NARROWEST),
        initial_indent=indent,
        subsequent_indent=f"{indent}{_INDENT}" if indent else "",
        break_on_hyphens=False,
    )


def _in_rows(columns: Sequence[Column], notes: Sequence[str], width: int) -> list[str]:
    header, ruler, *rows = _lines(columns)
    lines = [header, ruler]
    for row, note in zip(rows, notes, strict=True):
        lines += [row, *wrapped(note, width, _INDENT)]
    return lines


def _stacked(first: Column, columns: Sequence[Column], notes: Sequence[str], width: int) -> list[str]:
    header, ruler, *rows = _lines(columns) if columns else [""] * (2 + len(first.cells))
    lines = [one_line(first.header), *(f"{_INDENT}{line}" for line in (header, ruler) if line)]
    for name, row, note in zip(first.cells, rows, notes, strict=True):
        lines += [one_line(name, LONGEST_PATH), *([f"{_INDENT}{row}"] if columns else [])]
        lines += wrapped(note, width, _INDENT)
    return lines


def _lines(columns: Sequence[Column]) -> list[str]:
    rows = zip(*(column.cells for column in columns), strict=True)
    return table([*rows], [column.header for column in columns], [column.align for column in columns]).split(
        "\n"
    )


def _width_of(column: Column) -> int:
    return max(len(one_line(text, LONGEST_PATH)) for text in (column.header, *column.cells))
