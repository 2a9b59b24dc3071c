"""The chart of what became of the ranks' time: a stack a case, of its efficiency and of each kind of loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import StrMethodFormatter

from pytest_gpt_dist.report.charts.canvas import (
    BLUE,
    LIGHT,
    ORANGE,
    PINK,
    SKY,
    Chart,
    Key,
    Panel,
    Theme,
)
from pytest_gpt_dist.report.charts.labels import label, measured, references, why_none
from pytest_gpt_dist.report.charts.rows import BAR_HEIGHT, name_rows, rows_in, write_why
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.results.text import first_of

_KINDS_SAID = (
    "Shares of the ranks' time. Communication: in collectives. Bubble: in sends, and waiting for another stage."
    " Imbalance: waiting for the slowest rank. Other: the rest, such as what ranks that share a memory need longer."
)


@dataclass(frozen=True)
class Kind:
    """How the parts of one kind look: hatched each in its way, and ``ink`` can be read on the colour.

    ``form`` is what is written on a part that takes at least ``narrowest`` of the axis.
    """

    name: str
    colour: Callable[[Theme], str]
    ink: Callable[[Theme], str]
    hatch: str = ""
    outlined: bool = False
    form: str = "{:.0%}"
    narrowest: float = 0.04

    def dress(self, patch: Patch, theme: Theme) -> Patch:
        """Return the same patch, looking so."""
        patch.set_facecolor(self.colour(theme))
        patch.set_edgecolor(theme.muted if self.outlined else theme.paper)
        patch.set_linestyle("--" if self.outlined else "-")
        patch.set_hatch(self.hatch)
        return patch


EFFICIENCY = Kind("efficiency", lambda _: BLUE, lambda _: LIGHT.paper)
COMMUNICATION = Kind("communication", lambda _: ORANGE, lambda _: LIGHT.text, "///")
BUBBLE = Kind("bubble", lambda _: SKY, lambda _: LIGHT.text, "...")
IMBALANCE = Kind("imbalance", lambda _: PINK, lambda _: LIGHT.text, "xxx")
OTHER = Kind("other", lambda theme: theme.muted, lambda theme: theme.paper, "---")
UNDIVIDED = Kind(
    "not divided",
    lambda theme: theme.paper,
    lambda theme: theme.text,
    outlined=True,
    form="not divided",
    narrowest=0.16,
)
_KINDS = (EFFICIENCY, COMMUNICATION, BUBBLE, IMBALANCE, OTHER, UNDIVIDED)


@dataclass(frozen=True)
class Stack:
    """A case's bar: shares of its ranks' time from the left. Without any, ``why`` says the reason."""

    label: str
    parts: tuple[tuple[Kind, float], ...]
    why: str

    @property
    def end(self) -> float:
        """The share at its right end."""
        return sum(share for _, share in self.parts)


def lost_efficiency(group: Group) -> Chart:
    """Where the time of each case on several devices goes."""
    several = [case for case in group.cases if case.gpus > 1]
    stacks = [
        # Nothing is as wide as a share below 0.
        Stack(
            label(group, case),
            tuple((kind, max(0.0, share)) for kind, share in _parts(case)),
            case.why_missing("time_lost"),
        )
        for case in several
    ]
    drawn = {kind for stack in stacks for kind, share in stack.parts if share > 0}
    return Chart(
        "lost_efficiency",
        "Where the lost efficiency goes",
        (_KINDS_SAID, *_remarks(several), references(group)),
        measured(group),
        (Panel(rows_in(len(stacks)), lambda axes, theme: _draw(axes, theme, stacks)),),
        lambda theme: [Key(kind.name, kind.dress(Patch(), theme)) for kind in _KINDS if kind in drawn],
        "" if any(stack.parts for stack in stacks) else why_none(several, "time_lost"),
    )


def _parts(case: CaseFigures) -> Iterator[tuple[Kind, float]]:
    """From the left; where there is no efficiency, what would be that and other is one part."""
    lost = case.time_lost
    if lost is None:
        return
    if case.efficiency is None:
        yield UNDIVIDED, 1 - sum(lost.measured.values())
    else:
        yield EFFICIENCY, case.efficiency
    yield COMMUNICATION, lost.communication
    yield BUBBLE, lost.bubble
    yield IMBALANCE, lost.imbalance
    if lost.other is not None:
        yield OTHER, lost.other


def _remarks(cases: Sequence[CaseFigures]) -> Iterator[str]:
    """Yield what is drawn in another way than the rest, where something is."""
    told = [case for case in cases if case.time_lost is not None]
    reasons = dict.fromkeys(case.why_missing("efficiency") for case in told if case.efficiency is None)
    if reasons:
        yield (
            f"Not divided: efficiency and other, where there is no efficiency ({first_of(list(reasons), '; ')})."
        )
    if any(case.time_lost and case.time_lost.other is not None and case.time_lost.other < 0 for case in told):
        yield "Beyond 100%: ranks that do their share faster than one device would; other is then below 0."


def _draw(axes: Axes, theme: Theme, stacks: Sequence[Stack]) -> None:
    middles = name_rows(axes, [stack.label for stack in stacks])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
    axes.set_xlabel("share of the ranks' time")
    end = max([1.0, *(stack.end for stack in stacks)])
    axes.set_xlim(0, end)
    for middle, stack in zip(middles, stacks, strict=True):
        if not stack.parts:
            write_why(axes, theme, middle, stack.why)
        start = 0.0
        for kind, share in stack.parts:
            (bar,) = axes.barh(middle, share, left=start, height=BAR_HEIGHT, linewidth=0.8)
            kind.dress(bar, theme)
            if share >= kind.narrowest * end:
                said = axes.text(
                    start + share / 2,
                    middle,
                    kind.form.format(share),
                    ha="center",
                    va="center_baseline",
                    size=9,
                    color=kind.ink(theme),
                    path_effects=[withStroke(linewidth=4, foreground=kind.colour(theme))],
                    clip_on=True,
                )
                said.set_clip_path(bar)  # what keeps the hatching off the figure ends with the bar
            start += share
