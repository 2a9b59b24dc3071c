"""What charts say beside what they draw: names of cases, and the sentences that their captions share."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.report.charts.canvas import LONGEST_LABEL, cut
from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.missing import Figure
from pytest_gpt_dist.results.text import first_of

_ONE_LAUNCH = "No error bars: one launch a case."
_SHORTEST_NAME = 12


def label(group: Group, case: CaseFigures) -> str:
    """Return the test's name, or of one function's cases what stands in its brackets, and what disturbed it."""
    functions = {each.case.partition("[")[0] for each in group.cases}
    inside = case.case.partition("[")[2]
    name = inside[:-1] if inside.endswith("]") and len(functions) == 1 else case.case
    said = f" · {', '.join(states)}" if (states := _states(case)) else ""
    return f"{cut(name, max(_SHORTEST_NAME, LONGEST_LABEL - len(said)))}{said}"


def _states(case: CaseFigures) -> list[str]:
    """Return a word or two for each thing that the figures of a case suffer from."""
    kinds = dict.fromkeys(mark.partition(":")[0] for mark in case.disturbed)
    return [
        *(["its test failed"] if case.failed else []),
        *kinds,
        *(["oversubscribed"] if case.oversubscribed else []),
        *(["shared GPU"] if "shared GPU" in case.notes else []),
    ]


def launches(group: Group) -> str:
    """Return what the lines on the bars are, or why there are none."""
    if (counts := _launch_counts(group)) is None:
        return _ONE_LAUNCH
    return f"Lines: slowest to fastest of {counts} launches, each by the mean of its rounds."


def all_launches(group: Group) -> str:
    """Why there are no lines on bars that are not of single launches."""
    return _ONE_LAUNCH if _launch_counts(group) is None else "No error bars: all launches together."


def _launch_counts(group: Group) -> str | None:
    """How many launches the cases had; None where none had two."""
    counts = {len(case.launch_throughputs) for case in group.cases if case.launch_throughputs}
    if max(counts, default=0) < 2:
        return None
    return f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"


def references(group: Group) -> str:
    """Return what speed-up and efficiency refer to."""
    found = dict.fromkeys(
        f"{case.reference.engine} on {devices(case.reference.gpus)},"
        f" {case.reference.throughput:,.1f} {case.reference.rate} ({case.reference.origin})"
        for case in group.cases
        if case.reference is not None
    )
    return f"Reference: {first_of(list(found), '; ')}." if found else "There is no reference."


def referred(group: Group) -> str:
    """Return the references, and what the lines on the bars leave out of them."""
    lines = any(case.launch_range and case.reference for case in group.cases)
    return references(group) + (" Its own spread is not in the lines." if lines else "")


def not_shown(cases: Sequence[CaseFigures], figure: Figure) -> str:
    """Return the cases that have no such figure, each with the reason."""
    return f"Not shown: {first_of([f'{case.case} ({case.why_missing(figure)})' for case in cases])}."


def why_none(cases: Sequence[CaseFigures], figure: Figure) -> str:
    """Why none of the cases has such a figure; without any, that they would have to be on several devices."""
    reasons = list(dict.fromkeys(case.why_missing(figure) for case in cases))
    return first_of(reasons, "; ") or "no case on several devices"


def measured(group: Group) -> tuple[str, str]:
    """Return the workload, and on which machine and when."""
    return group.heading, f"{group.machine} · {group.dates}"


def relative_range(case: CaseFigures, of: int) -> tuple[float, float] | None:
    """Return the slowest and the fastest launch, as multiples of the reference on ``of`` devices."""
    found = case.launch_range
    if found is None or case.reference is None:
        return None
    low, high = (figure / case.reference.throughput / of for figure in found)
    return low, high
