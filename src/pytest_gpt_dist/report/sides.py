"""What else differs between two sides, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from pytest_gpt_dist.compare.paired import Change
from pytest_gpt_dist.compare.sides import Beside

_HEADERS = ("case", "TTFT", "ITL p95", "peak memory MiB", "logit error", "tokens")
_MIB = 2**20


def render_sides(beside: Sequence[Beside], style: str = "simple") -> str:
    """One row a case; ``style`` is tabulate's."""
    rows = [
        (
            each.case.rpartition("::")[2],
            _change(each.ttft),
            _change(each.itl_p95),
            _memory(*each.peak_memory_bytes),
            " → ".join("-" if error is None else f"{error:.1e}" for error in each.max_logit_error),
            "same" if each.same_tokens else "other",
        )
        for each in beside
    ]
    return tabulate(
        rows,
        headers=_HEADERS,
        tablefmt=style,
        disable_numparse=True,
        colalign=("left", *["right"] * 4, "left"),
    )


def _change(change: Change | None) -> str:
    if change is None:
        return "-"
    low, high = change.interval
    return f"{change.effect:+.1%} ({low:+.1%} to {high:+.1%})"


def _memory(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "-"
    change = f" ({after / before - 1:+.1%})" if before > 0 else ""
    return f"{before / _MIB:,.0f} → {after / _MIB:,.0f}{change}"
