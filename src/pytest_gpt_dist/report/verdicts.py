"""Verdicts as a table, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.results.table import Align, Style, table

_HEADERS = (
    "case",
    "before tokens/s (median)",
    "after tokens/s (median)",
    "time",
    "interval",
    "detectable",
    "verdict",
    "why",
)
_ALIGN: tuple[Align, ...] = ("left", "right", "right", "right", "right", "right", "left", "left")
_NOTHING = "-"
_LATENCIES = {"ttft_s": "TTFT", "itl_p95_s": "ITL p95"}


def render_verdicts(verdicts: Sequence[Verdict], style: Style = "text") -> str:
    """Return a table with one row a verdict."""
    return table([_cells(verdict) for verdict in verdicts], _HEADERS, _ALIGN, style)


def conclusion(verdicts: Sequence[Verdict], required: bool) -> str:
    """The last line: what failed the session, or how many verdicts of each kind there are."""
    failing = [verdict_name(verdict.case, verdict.metric) for verdict in verdicts if verdict.fails]
    if failing:
        return f"gpt-dist: {len(failing)} regressed, which fails the session: {', '.join(failing)}"
    missing = [verdict for verdict in verdicts if verdict.kind == "no-baseline"]
    if required and missing:
        return f"gpt-dist: {len(missing)} without a baseline, which --gpt-require-baseline makes a failure"
    kinds = [verdict.kind for verdict in verdicts]
    return "gpt-dist: " + ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def verdict_name(case: str, metric: str) -> str:
    """The case without its file, and of which of its latencies the verdict is, if of one."""
    name = one_line(case.rpartition("::")[2])
    return name if metric == "seconds_per_token" else f"{name} {_LATENCIES.get(metric, metric)}"


def level(metric: str, seconds: float | None) -> str:
    """Tokens per second; of a latency, milliseconds, with the unit."""
    if seconds is None:
        return _NOTHING
    return f"{1 / seconds:,.1f}" if metric == "seconds_per_token" else f"{seconds * 1000:,.2f} ms"


def _cells(verdict: Verdict) -> list[str]:
    interval = _NOTHING
    if verdict.interval is not None:
        low, high = verdict.interval
        interval = f"{low:+.1%} to {high:+.1%}"
    return [
        verdict_name(verdict.case, verdict.metric),
        level(verdict.metric, verdict.before_s),
        level(verdict.metric, verdict.after_s),
        _NOTHING if verdict.effect is None else f"{verdict.effect:+.1%}",
        interval,
        _NOTHING if verdict.detectable is None else f"{verdict.detectable:+.1%}",
        verdict.kind,
        verdict.why,
    ]
