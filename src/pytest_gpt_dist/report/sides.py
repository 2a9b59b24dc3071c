"""What else differs between two sides, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_gpt_dist.compare.ab import Beside
from pytest_gpt_dist.compare.paired import Change
from pytest_gpt_dist.report.names import shortened
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, OF_A_SESSION, Column, fitted_table, wrapped
from pytest_gpt_dist.results.table import Align, Style, table

_MIB = 2**20
_BY_PRIORITY = ("TTFT", "ITL p95", "tokens", "peak memory MiB", "logit error")


def render_sides(beside: Sequence[Beside], style: Style = "text", width: int = ANY_WIDTH) -> str:
    """Return a table with one row a case; as text no wider than ``width``."""
    shared, names = shortened([each.case.rpartition("::")[2] for each in beside])
    columns = [Column("case", "left", names)]
    columns += [Column(header, align, [cell(each) for each in beside]) for header, align, cell in SIDES]
    if style == "text":
        shown = fitted_table(columns, width, by_priority=_BY_PRIORITY, elsewhere=OF_A_SESSION)
        return "\n".join([*wrapped(shared, width), shown])
    return table(
        [(each.case.rpartition("::")[2], *(cell(each) for _, _, cell in SIDES)) for each in beside],
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
    return " → ".join("-" if error is None else f"{error:.1e}" for error in beside.max_logit_error)


SIDES: tuple[tuple[str, Align, Callable[[Beside], str]], ...] = (
    ("TTFT", "right", lambda beside: _change(beside.ttft)),
    ("ITL p95", "right", lambda beside: _change(beside.itl_p95)),
    ("peak memory MiB", "right", _memory),
    ("logit error", "right", _errors),
    ("tokens", "left", lambda beside: "same" if beside.same_tokens else "other"),
)
"""Header, alignment and cell of each column behind the case."""
