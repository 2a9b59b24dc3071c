"""Verdicts as a table, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import one_line
from pytest_gpt_dist.report.names import shortened
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, OF_A_SESSION, Column, fitted_table, wrapped
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
_SHORT_HEADERS = ("case", "before", "after", "time", "interval", "detectable", "verdict")
_BY_PRIORITY = ("verdict", "time", "interval", "detectable", "after", "before")
_ABOUT = "before and after: tokens/s (median) · time: what it takes more (+) or less (-)"
_NOTHING = "-"
_LATENCIES = {"ttft_s": "TTFT", "itl_p95_s": "ITL p95"}


def render_verdicts(
    verdicts: Sequence[Verdict], style: Style = "text", width: int = ANY_WIDTH, elsewhere: str = OF_A_SESSION
) -> str:
    """Return a table with one row a verdict; as text no wider than ``width``, with the reasons below the rows."""
    if style == "markdown":
        return table([_cells(verdict) for verdict in verdicts], _HEADERS, _ALIGN, style)
    shared, names = shortened([_test(verdict.case) for verdict in verdicts])
    named = [_with_metric(name, verdict.metric) for name, verdict in zip(names, verdicts, strict=True)]
    cells = zip(*(_cells(verdict)[1:-1] for verdict in verdicts), strict=True)
    columns = [
        Column(header, align, column)
        for header, align, column in zip(_SHORT_HEADERS, _ALIGN, (named, *cells), strict=False)
    ]
    shown = fitted_table(
        columns,
        width,
        by_priority=_BY_PRIORITY,
        elsewhere=elsewhere,
        notes=[verdict.why for verdict in verdicts],
    )
    return "\n".join([*wrapped(" · ".join(filter(None, (shared, _ABOUT))), width), shown])


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
    return _with_metric(one_line(_test(case)), metric)


def level(metric: str, seconds: float | None) -> str:
    """Tokens per second; of a latency, milliseconds, with the unit."""
    if seconds is None:
        return _NOTHING
    return f"{1 / seconds:,.1f}" if metric == "seconds_per_token" else f"{seconds * 1000:,.2f} ms"


def _test(case: str) -> str:
    return case.rpartition("::")[2]


def _with_metric(name: str, metric: str) -> str:
    return name if metric == "seconds_per_token" else f"{name} {_LATENCIES.get(metric, metric)}"


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
