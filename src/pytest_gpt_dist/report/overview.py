"""What a reader sees first of a group: the answer, its figures, a chart, and what to know before believing it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.errors import counted
from pytest_gpt_dist.report.bars import Bars, bars
from pytest_gpt_dist.report.cards import Card, cards
from pytest_gpt_dist.report.caveats import Badge, badges
from pytest_gpt_dist.report.findings import Findings, Group
from pytest_gpt_dist.report.headline import Answer, Headline, answers, headline

_MOST_LINES = 2


@dataclass(frozen=True)
class Overview:
    """The first screen of a group, for every kind of report."""

    headline: Headline
    cards: tuple[Card, ...]
    answers: tuple[Answer, ...]
    badges: tuple[Badge, ...]
    bars: Bars


def overview(group: Group, findings: Findings) -> Overview:
    """Return the first screen of one of the groups that were found."""
    return Overview(
        headline=headline(group),
        cards=cards(group),
        answers=answers(group),
        badges=badges(group, findings),
        bars=bars(group),
    )


def closing_lines(findings: Findings) -> tuple[str, ...]:
    """Return the answer in a line or two for the end of a session: of one group with its caveats, of several each."""
    seen = [(group.heading, overview(group, findings)) for group in findings.groups]
    if len(seen) == 1:
        ((_, only),) = seen
        caveats = " · ".join(badge.label for badge in only.badges)
        below = only.headline.why if only.headline.tone in ("open", "bad") else caveats
        return tuple(filter(None, (only.headline.text, below)))
    lines = [f"{heading}: {each.headline.text}" for heading, each in seen[:_MOST_LINES]]
    more = len(seen) - _MOST_LINES
    return (
        (*lines[:-1], f"{lines[-1]}; {counted(more, 'more workload')} in the table")
        if more > 0
        else tuple(lines)
    )
