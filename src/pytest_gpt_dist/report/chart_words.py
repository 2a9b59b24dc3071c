"""What charts say beside what they draw: names of cases, and the sentences that their captions share."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gpt_dist.report.figures import CaseFigures, Figure, devices
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.wording import first_of


def label(group: Group, case: CaseFigures) -> str:
    """The test's name, or where all cases are of one function what stands in its brackets."""
    functions = {each.case.partition("[")[0] for each in group.cases}
    inside = case.case.partition("[")[2]
    name = inside[:-1] if inside.endswith("]") and len(functions) == 1 else case.case
    return f"{name} · oversubscribed" if case.oversubscribed else name


def launches(group: Group) -> str:
    """What the lines on the bars are, or why there are none."""
    counts = {len(case.launches_tokens_per_s) for case in group.cases if case.launches_tokens_per_s}
    if max(counts, default=0) < 2:
        return "No error bars: one launch a case."
    of = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
    return f"Lines: slowest to fastest of {of} launches, each by the median of its rounds."


def references(group: Group) -> str:
    """What speed-up and efficiency refer to."""
    found = dict.fromkeys(
        f"{case.reference.engine} on {devices(case.reference.gpus)}, {case.reference.tokens_per_s:,.1f} tokens/s"
        f" ({case.reference.origin})"
        for case in group.cases
        if case.reference is not None
    )
    return f"Reference: {first_of(list(found), '; ')}." if found else "There is no reference."


def referred(group: Group) -> str:
    """The references, and what the lines on the bars leave out of them."""
    lines = any(case.launch_range_tokens_per_s and case.reference for case in group.cases)
    return references(group) + (" Its own spread is not in the lines." if lines else "")


def not_shown(cases: Sequence[CaseFigures], figure: Figure) -> str:
    """The cases that have no such figure, each with the reason."""
    return f"Not shown: {first_of([f'{case.case} ({case.why_missing(figure)})' for case in cases])}."


def measured(group: Group) -> tuple[str, str]:
    """The workload, and on which machine and when."""
    return group.heading, f"{group.machine} · {group.dates}"
