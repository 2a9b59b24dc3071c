"""What else differs between two sides, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_gpt_dist.compare.ab import Beside
from pytest_gpt_dist.compare.paired import Change
from pytest_gpt_dist.results.table import Align, Style, table

_MIB = 2**20


def render_sides(beside: Sequence[Beside], style: Style = "text") -> str:
    """Return a table with one row a case."""
    return table(
        [(each.case.rpartition("::")[2], *(cell(each) for _, _, cell in SIDES)) for each in beside],
        headers=("case", *(header for header, _, _ in SIDES)),
        align=("left", *(align for _, align, _ in SIDES)),
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
