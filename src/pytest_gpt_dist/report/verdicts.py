"""Verdicts as a table, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import LONGEST_PATH, one_line
from pytest_gpt_dist.report.names import without_shared
from pytest_gpt_dist.results.fitted_table import ANY_WIDTH, OF_A_SESSION, Column, fitted_table, wrapped
from pytest_gpt_dist.results.table import Align, Style, table
from pytest_gpt_dist.results.text import first_of

_ALIGN: tuple[Align, ...] = ("left", "right", "right", "right", "right", "right", "left", "left")
_FURTHER_HEADERS = ("time", "interval", "detectable", "verdict", "why")
_SHORT_HEADERS = ("case", "before", "after", "time", "interval", "detectable", "verdict")
_BY_PRIORITY = ("verdict", "time", "interval", "detectable", "after", "before")
_NOTHING = "-"


def render_verdicts(
    verdicts: Sequence[Verdict], style: Style = "text", width: int = ANY_WIDTH, elsewhere: str = OF_A_SESSION
) -> str:
    """Return a table with one row a verdict; as text no wider than ``width``, with the reasons below the rows."""
    if style == "markdown":
        headers = (*(f"{side} {of_medians(verdicts)}" for side in ("before", "after")), *_FURTHER_HEADERS)
        return table([_cells(verdict, verdicts) for verdict in verdicts], ("case", *headers), _ALIGN, style)
    shared, names = without_shared([_test(verdict.case) for verdict in verdicts])
    named = [_with_label(name, verdict.label) for name, verdict in zip(names, verdicts, strict=True)]
    cells = zip(*(_cells(verdict, verdicts)[1:-1] for verdict in verdicts), strict=True)
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
    about = f"before and after: {of_medians(verdicts)} · time: what it takes more (+) or less (-)"
    return "\n".join([*wrapped(" · ".join(filter(None, (shared, about))), width), shown])


def conclusion(verdicts: Sequence[Verdict], required: bool) -> str:
    """Return the last line: what failed the session, that it compared nothing and why, or how many of each kind."""
    failing = [verdict_name(verdict.case, verdict.label) for verdict in verdicts if verdict.fails]
    if failing:
        return f"gpt-dist: {len(failing)} regressed, which fails the session: {', '.join(failing)}"
    missing = [verdict for verdict in verdicts if verdict.kind == "no-baseline"]
    if required and missing:
        said = f"gpt-dist: {len(missing)} without a baseline, which --gpt-require-baseline makes a failure"
        return f"{said}: {_reasons(missing)}"
    if missing and len(missing) == len(verdicts):
        return f"gpt-dist: {len(missing)} no-baseline, so nothing was compared: {_reasons(missing)}"
    kinds = [verdict.kind for verdict in verdicts]
    return "gpt-dist: " + ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _reasons(missing: Sequence[Verdict]) -> str:
    """Why there is no baseline, each reason once, and what to do about it."""
    reasons = list(dict.fromkeys(verdict.why for verdict in missing))
    remedies = list(dict.fromkeys(verdict.remedy for verdict in missing if verdict.remedy))
    return one_line("; ".join([first_of(reasons, "; "), *remedies]), LONGEST_PATH)


class OnTime(Protocol):
    """A verdict, as a session gives it or as a report reads it."""

    @property
    def label(self) -> str:
        """Return the name of the latency that it is on; empty for the time of the work."""
        ...

    @property
    def rate(self) -> str:
        """Return the unit of that time's inverse."""
        ...


def verdict_name(case: str, label: str) -> str:
    """Return the case without its file, and of which of its latencies the verdict is, if of one."""
    return _with_label(one_line(_test(case)), label)


def of_medians(verdicts: Iterable[OnTime]) -> str:
    """Return what before and after are of: the unit, where verdicts agree in it, and the statistic."""
    rates = {verdict.rate for verdict in verdicts if verdict.rate}
    return f"{rates.pop()} (median)" if len(rates) == 1 else "(median)"


def level(verdict: OnTime, seconds: float | None, verdicts: Iterable[OnTime]) -> str:
    """Return work per second, with its unit where not all ``verdicts`` have one; of a latency, milliseconds."""
    if seconds is None:
        return _NOTHING
    if verdict.label:
        return f"{seconds * 1000:,.2f} ms"
    alone = len({other.rate for other in verdicts if other.rate}) < 2
    return f"{1 / seconds:,.1f}" if alone else f"{1 / seconds:,.1f} {verdict.rate}"


def _test(case: str) -> str:
    return case.rpartition("::")[2]


def _with_label(name: str, label: str) -> str:
    return f"{name} {label}" if label else name


def _cells(verdict: Verdict, verdicts: Sequence[Verdict]) -> list[str]:
    interval = _NOTHING
    if verdict.interval is not None:
        low, high = verdict.interval
        interval = f"{low:+.1%} to {high:+.1%}"
    return [
        verdict_name(verdict.case, verdict.label),
        level(verdict, verdict.before_s, verdicts),
        level(verdict, verdict.after_s, verdicts),
        _NOTHING if verdict.effect is None else f"{verdict.effect:+.1%}",
        interval,
        _NOTHING if verdict.detectable is None else f"{verdict.detectable:+.1%}",
        verdict.kind,
        verdict.why,
    ]
