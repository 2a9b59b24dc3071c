"""The chart of the first screen: every strategy by device count, as shares of the longest bar. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gpt_dist.report.contest import shares_a_device
from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.headline import rate, throughput_contest
from pytest_gpt_dist.report.names import short_name

MOST_BARS = 12
HUES = 8
"""Colours of strategies before they repeat, as in the pictures."""


@dataclass(frozen=True)
class Bar:
    """A case: its length and the span of its launches in percent of the widest, and what it suffers from.

    ``hue`` is the place of its strategy's colour.
    """

    label: str
    value: str
    percent: float
    span: tuple[float, float] | None
    hue: int
    suffers: str
    best: bool


@dataclass(frozen=True)
class Bars:
    """Bars by device count, in units of ``rate``.

    ``reference_percent`` is where one device alone ends, None where that is not known.
    """

    rate: str
    by_count: tuple[tuple[str, tuple[Bar, ...]], ...]
    reference_percent: float | None
    left_out: int

    @property
    def has_spans(self) -> bool:
        """Return whether any case had several launches."""
        return any(bar.span for _, found in self.by_count for bar in found)


def bars(group: Group) -> Bars:
    """Return the fastest cases, up to ``MOST_BARS``, in the order of their device counts."""
    found = throughput_contest(group)
    best = None if found.doubts or found.level else found.best
    shown = sorted(group.distinct, key=lambda case: -case.throughput)[:MOST_BARS]
    ordered = [case for case in group.distinct if case in shown]
    widest = max(max(case.launch_throughputs, default=0.0) for case in ordered)
    widest = max(widest, *(case.throughput for case in ordered))
    strategies = list(dict.fromkeys(each.strategy for each in group.palette))
    return Bars(
        group.form.rate,
        tuple(
            (
                devices(gpus),
                tuple(
                    _bar(case, ordered, widest, strategies.index(case.strategy), best=case is best)
                    for case in ordered
                    if case.gpus == gpus
                ),
            )
            for gpus in dict.fromkeys(case.gpus for case in ordered)
        ),
        _reference(ordered, widest),
        len(group.distinct) - len(ordered),
    )


def _bar(case: CaseFigures, shown: Sequence[CaseFigures], widest: float, hue: int, *, best: bool) -> Bar:
    span = case.launch_range
    kinds = dict.fromkeys(mark.partition(":")[0] for mark in case.disturbed)
    suffers = [*filter(None, [shares_a_device(case)]), *kinds, *(["test failed"] if case.failed else [])]
    return Bar(
        label=short_name(case, shown),
        value=rate(case.throughput),
        percent=100 * (case.throughput / widest),
        span=None if span is None else (100 * (span[0] / widest), 100 * (span[1] / widest)),
        hue=hue % HUES,
        suffers=", ".join(suffers),
        best=best,
    )


def _reference(cases: Sequence[CaseFigures], widest: float) -> float | None:
    """None where cases refer to different ones, or to one that is beyond the widest bar."""
    found = {case.reference.throughput for case in cases if case.reference is not None}
    if len(found) != 1 or (per_s := found.pop()) > widest:
        return None
    return 100 * per_s / widest
