"""The Markdown of the scaling results: what each layout gains, and where the rounds of divided models go."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.figures import Figures
from benchmarks.preset import preset_dimensions
from benchmarks.scaling.ratios import allowed_speedup, balance, over_half, readers, speedup
from benchmarks.scaling.results import Results, Session
from benchmarks.scaling.trace import Communication
from tabulate import tabulate

from pytest_gpt_dist.model.dtypes import itemsize
from pytest_gpt_dist.topology import Layout, Passes

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
                _spread([readers(alone, case) for alone, case in cases], "{:.2f}"),
                _spread([allowed_speedup(alone, case) for alone, case in cases], "{:.2f}"),
                _spread([_of_allowed(alone, case) for alone, case in cases], "{:.0%}"),
                f"{_balance(results, layout):.0%}",
                _remarks([case for _, case in cases]),
            )
        )
    headers = ("layout", "tokens/s", "speed-up", "readers", "allowed", "of allowed", "balance", "marks")
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def shares(results: Results) -> str:
    """One row a divided layout: the shares of its rounds that are communication, and what is lost besides."""
    rows = []
    for layout in _layouts(results):
        traced = _traced(results, layout)
        if not traced:
            continue
        ours = [communication for _, _, communication in traced]
        cases = [case for _, case, _ in traced]
        rows.append(
            (
                layout,
                str(cases[-1].collectives_per_step),
                str(cases[-1].hops_per_step),
                _spread([each.transfer_s / each.round_s for each in ours], "{:.0%}"),
                _spread([each.waiting_s / each.round_s for each in ours], "{:.0%}"),
                _spread([each.hops_s / each.round_s for each in ours], "{:.0%}"),
                _spread([each.outside_s / each.round_s for each in ours], "{:.0%}"),
                _spread([over_half(each, session.twice) for session, _, each in traced], "{:.2f}")
                if layout == TENSOR
                else "",
                _spread([_cost_of_tracing(session, case) for session, case, _ in traced], "{:.2f}"),
                _remarks(cases),
            )
        )
    headers = (
        *("layout", "collectives", "hops", "transfer", "waiting", "in hops", "the rest"),
        *("rest ÷ half", "traced ÷ native", "marks"),
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


def _traced(results: Results, layout: str) -> list[tuple[Session, Figures, Communication]]:
    """Of each session the traced case of the layout, and where its rounds went; [] where it was not traced."""
    return [
        (session, session.case(layout, "traced"), communication)
        for session in results.sessions
        for communication in session.communication
        if communication.layout == layout
    ]


def _of_allowed(alone: Figures, case: Figures) -> float | None:
    allowed = allowed_speedup(alone, case)
    return None if allowed is None else speedup(alone, case) / allowed


def _balance(results: Results, layout: str) -> float:
    setting = results.setting
    # The first of two tokens is the prefill's, so that there is a step that reads.
    passes = Passes([setting.prompt_tokens] * setting.batch_size, max(2, setting.new_tokens))
    return balance(preset_dimensions(setting.model), Layout.parse(layout), itemsize(setting.dtype), passes)


def _cost_of_tracing(session: Session, traced: Figures) -> float:
    return traced.round_s / session.case(traced.layout).round_s


def _remarks(cases: Sequence[Figures]) -> str:
    """Those of any session, each once."""
    return ", ".join(dict.fromkeys(remark for case in cases for remark in case.remarks))


def _spread(values: Sequence[float | None], form: str) -> str:
    """The median over sessions, with the least and the most; empty where there is no such figure."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle, least, most = (form.format(value) for value in (median(known), min(known), max(known)))
    return middle if least == most else f"{middle} ({least} to {most})"
