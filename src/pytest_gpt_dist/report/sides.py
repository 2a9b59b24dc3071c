"""What else differs between two sides, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_gpt_dist.compare.ab import Beside
from pytest_gpt_dist.compare.paired import Change
from pytest_gpt_dist.report.names import without_shared
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, OF_A_SESSION, Column, fitted_table, wrapped
from pytest_gpt_dist.results.table import Align, Style, table

_MIB = 2**20
_MEMORY = "peak memory MiB"
_LAST = (_MEMORY,)


def render_sides(beside: Sequence[Beside], style: Style = "text", width: int = ANY_WIDTH) -> str:
    """Return a table with one row a case; as text no wider than ``width``."""
    shared, names = without_shared([each.case.rpartition("::")[2] for each in beside])
    columns = [Column("case", "left", names)]
    sides = side_columns(beside)
    columns += [Column(header, align, [cell(each) for each in beside]) for header, align, cell in sides]
    if style == "text":
        # What was made is said in a word, and matters more than what it took.
        order = sorted((header for header, _, _ in sides), key=_LAST.__contains__)
        shown = fitted_table(columns, width, by_priority=order, elsewhere=OF_A_SESSION)
        return "\n".join([*wrapped(shared, width), shown])
    return table(
        [(each.case.rpartition("::")[2], *(cell(each) for _, _, cell in sides)) for each in beside],
        headers=[column.header for column in columns],
        align=[column.align for column in columns],
        style=style,
    )


def _change(change: Change | None) -> str:
    if change is None:
        return "-"
    low, high = change.interval
    return f"{change.effect:+.1%} ({low:+.1%} to {high:+.1%})"


def _memory(beside: Beside) -> str:
    before, after = beside.peak_memory_bytes
    if before is None or after is None:
        return "-"
    change = f" ({after / before - 1:+.1%})" if before > 0 else ""
    return f"{before / _MIB:,.0f} → {after / _MIB:,.0f}{change}"


def _errors(beside: Beside) -> str:
    return " → ".join("-" if error is None else f"{error:.1e}" for error in beside.error)


def _output(beside: Beside) -> str:
    return "-" if beside.same_output is None else "same" if beside.same_output else "other"


Side = tuple[str, Align, Callable[[Beside], str]]
"""Header, alignment and cell of a column behind the case."""


def side_columns(beside: Sequence[Beside]) -> tuple[Side, ...]:
    """Return the columns for what differs between two sides: latencies of their modes, memory, error and output."""
    labels = dict.fromkeys(label for each in beside for label, _ in each.changes)
    errors = dict.fromkeys(f"{each.error_of} error" for each in beside if each.error_of)
    works = dict.fromkeys(each.works for each in beside if each.same_output is not None)
    return (
        *((label, "right", _changes(label)) for label in labels),
        (_MEMORY, "right", _memory),
        *((header, "right", _errors) for header in list(errors)[:1]),
        *((header, "left", _output) for header in list(works)[:1]),
    )


def _changes(label: str) -> Callable[[Beside], str]:
    return lambda beside: _change(dict(beside.changes).get(label))
