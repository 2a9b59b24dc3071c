"""The Markdown of the scaling results: what each layout gains, and where the rounds of divided models go."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from scripts.figures import Figures
from scripts.preset import preset_dimensions
from scripts.scaling.ratios import allowed_speedup, at_work, balance, over_half, readers, speedup
from scripts.scaling.results import Results, Session
from tabulate import tabulate

from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.parallel import Layout, Passes

ALONE, REPLICAS, STAGES, TENSOR = "dp1pp1tp1", "dp2pp1tp1", "dp1pp2tp1", "dp1pp1tp2"
GOALS = {REPLICAS: 0.95, STAGES: 0.90}
"""Shares of the allowed speed-up."""


def gains(results: Results) -> str:
    """One row a layout: its speed-up over one rank, and how much of what the shared machine allows that is."""
    rows = []
    for layout in _layouts(results):
        cases = _cases(results, layout)
        rows.append(
            (
                layout,
                _spread([case.tokens_per_s for _, case in cases], "{:.1f}"),
                _spread([speedup(alone, case) for alone, case in cases], "{:.2f}"),
                _spread([_of_replicas(session, layout) for session in results.sessions], "{:.0%}"),
                _spread([readers(alone, case) for alone, case in cases], "{:.2f}"),
                _spread([allowed_speedup(alone, case) for alone, case in cases], "{:.2f}"),
                _spread([_of_allowed(alone, case) for alone, case in cases], "{:.0%}"),
                f"{_balance(results, layout):.0%}",
                _remarks([case for _, case in cases]),
            )
        )
    headers = (
        *("layout", "tokens/s", "speed-up", "÷ replicas", "readers", "allowed", "of allowed"),
        *("balance", "marks"),
    )
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def shares(results: Results) -> str:
    """One row a divided layout: the shares of its rounds that are communication, and what is lost besides."""
    rows = []
    for layout in _layouts(results):
        if (parsed := Layout.parse(layout)).pp * parsed.tp == 1:
            continue
        cases = [session.case(layout) for session in results.sessions]
        halves = [over_half(session.case(layout), session.twice) for session in results.sessions]
        rows.append(
            (
                layout,
                str(cases[-1].collectives_per_step),
                str(cases[-1].hops_per_step),
                _spread([case.communication for case in cases], "{:.0%}"),
                _spread([case.bubble for case in cases], "{:.0%}"),
                _spread([case.imbalance for case in cases], "{:.0%}"),
                _spread([at_work(case) for case in cases], "{:.0%}"),
                _spread(halves, "{:.2f}") if layout == TENSOR else "",
                _remarks(cases),
            )
        )
    headers = (
        *("layout", "collectives", "hops", "communication", "bubble", "imbalance", "at work"),
        *("at work ÷ half", "marks"),
    )
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def summary(results: Results) -> str:
    """One line for each goal."""
    lines = []
    for layout, goal in GOALS.items():
        cases, ranks = _cases(results, layout), Layout.parse(layout).world_size
        found = [_of_allowed(alone, case) for alone, case in cases]
        linear = [speedup(alone, case) / ranks for alone, case in cases]
        known = [share for share in found if share is not None]
        if known:
            verdict = "reached" if median(known) >= goal else "missed"
            lines.append(
                f"{layout}: {_spread(known, '{:.0%}')} of the allowed speed-up,"
                f" {_spread(linear, '{:.0%}')} of {ranks} × one rank (sessions: {len(known)});"
                f" the goal of {goal:.0%} of what is allowed is {verdict}"
            )
    return "\n".join(lines)


def _layouts(results: Results) -> list[str]:
    """In the order in which they were measured."""
    return list(dict.fromkeys(case.layout for session in results.sessions for case in session.cases))


def _cases(results: Results, layout: str) -> list[tuple[Figures, Figures]]:
    """Of each session the case of one rank, and that of the layout."""
    return [(session.case(ALONE), session.case(layout)) for session in results.sessions]


def _of_replicas(session: Session, layout: str) -> float | None:
    """Tokens per second ÷ those of two replicas of the same session; None of a layout of another size."""
    if Layout.parse(layout).world_size != 2:
        return None
    return speedup(session.case(REPLICAS), session.case(layout))


def _of_allowed(alone: Figures, case: Figures) -> float | None:
    allowed = allowed_speedup(alone, case)
    return None if allowed is None else speedup(alone, case) / allowed


def _balance(results: Results, layout: str) -> float:
    setting = results.setting
    # The first of two tokens is the prefill's, so that there is a step that reads.
    passes = Passes([setting.prompt_tokens] * setting.batch_size, max(2, setting.new_tokens))
    return balance(preset_dimensions(setting.model), Layout.parse(layout), itemsize(setting.dtype), passes)


def _remarks(cases: Sequence[Figures]) -> str:
    """Those of any session, each once."""
    return ", ".join(dict.fromkeys(remark for case in cases for remark in case.remarks))


def _spread(values: Sequence[float | None], form: str) -> str:
    """Return the median over sessions, with the least and the most; empty where there is no such figure."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle, least, most = (form.format(value) for value in (median(known), min(known), max(known)))
    return middle if least == most else f"{middle} ({least} to {most})"
