"""What is to be known before an answer is believed: a badge of a word or two each, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY
from pytest_gpt_dist.report.contest import advice_on, shares_a_device
from pytest_gpt_dist.report.figures import CaseFigures
from pytest_gpt_dist.report.findings import Findings, Group
from pytest_gpt_dist.report.headline import Tone
from pytest_gpt_dist.results.result_format import ResultFormat
from pytest_gpt_dist.results.text import first_of

_MEANINGS: dict[str, tuple[str, str, Tone]] = {
    "throttled": (
        "throttled",
        "Clocks were held down, or a container's limit kept threads from their cores",
        "bad",
    ),
    "shared device": ("shared device", "Something else computed on the cores or GPUs of the case", "bad"),
    "swapped": ("swapped", "The machine moved memory to or from its disk during the rounds", "bad"),
    "drifting": ("drifting", "The rounds of a launch have a trend: it was not warm, or slowed down", "open"),
    "no speed-up": ("no speed-up", "There is no case on one device to refer to", "plain"),
    "speed-up refers to a disturbed run": (
        "disturbed reference",
        "The run on one device that speed-up refers to was disturbed",
        "bad",
    ),
}
_ONE_LAUNCH = "Each case ran in one launch: how far launches differ is not known; --gpt-launches=5 shows it."


@dataclass(frozen=True)
class Badge:
    """A caveat in a word or two, and in a sentence what it means and whom it concerns."""

    label: str
    meaning: str
    tone: Tone


def badges(group: Group, findings: Findings) -> tuple[Badge, ...]:
    """Return the caveats of a group's answer, the worst first; what the report could not read concerns each group."""
    found = [*_absent(findings), *_of_cases(group), *_marked(group), *_of_group(group)]
    order: tuple[Tone, ...] = ("bad", "open", "plain", "good")
    return tuple(sorted(found, key=lambda badge: order.index(badge.tone)))


def _absent(findings: Findings) -> Iterator[Badge]:
    told: tuple[tuple[tuple[str, ...], str, str, Tone], ...] = (
        (findings.failed, "failed", "Tests that gave no figure, because they failed", "bad"),
        (findings.left_out, "left out", "Tests or saved cases without a figure", "open"),
        (findings.skipped, "files unread", "Files or folders that were not read in full", "open"),
    )
    for lines, label, meaning, tone in told:
        if lines:
            yield Badge(f"{len(lines)} {label}", f"{meaning}: {first_of(lines, '; ')}.", tone)


def _of_cases(group: Group) -> Iterator[Badge]:
    cases = group.cases
    crowds: tuple[tuple[str, str, str], ...] = (
        ("oversubscribed", "oversubscribed", "More ranks and threads than cores"),
        ("shared GPU", "share a GPU", "Several ranks on one GPU"),
    )
    for kind, label, meaning in crowds:
        if crowded := [case for case in cases if shares_a_device(case) == kind]:
            text = f"{meaning}, so no measure of as many devices: no efficiency, and no part of the answer"
            yield _counted(label, text, crowded, "open", advice_on(kind))
    if slower := [case for case in cases if any(verdict.kind == "regressed" for verdict in case.verdicts)]:
        yield _counted("regressed", "Slower than before by more than noise explains", slower, "bad")
    if failed := [case for case in cases if case.failed]:
        yield _counted("failed later", "Measured, and the test failed after that", failed, "bad")
    if inexact := [case for case in cases if case.matches_reference is False]:
        yield _counted("inexact", "The result is not that of one device", inexact, "bad")
    if unchecked := [case for case in cases if case.matches_reference is None]:
        yield _counted(
            "unchecked", "There is no reference that the result was compared with", unchecked, "open"
        )
    if told := [case for case in cases if case.alerts]:
        yield _counted(
            "alerts", "The machine was beyond a limit (--gpt-alert); the alerts stand below", told, "open"
        )


def _marked(group: Group) -> Iterator[Badge]:
    marked: dict[str, list[CaseFigures]] = {}
    for case in group.cases:
        for kind in dict.fromkeys(mark.partition(":")[0] for mark in case.marks):
            marked.setdefault(kind, []).append(case)
    for kind, cases in marked.items():
        label, meaning, tone = _meaning(kind, group.form)
        particulars = [
            mark.partition(":")[2].strip()
            for case in cases
            for mark in case.marks
            if mark.startswith(f"{kind}:")
        ]
        said = f" ({first_of(list(dict.fromkeys(particulars)))})" if any(particulars) else ""
        yield _counted(label, f"{meaning}{said}", cases, tone, advice_on(kind))


def _meaning(kind: str, form: ResultFormat) -> tuple[str, str, Tone]:
    """Label, meaning and tone of a mark that all modes give, or this one alone."""
    if (mark := form.marks.get(kind)) is not None:
        return mark.label, mark.meaning, "open" if mark.open else "plain"
    return _MEANINGS.get(kind, (kind, "A mark of the measurement", "open"))


def _of_group(group: Group) -> Iterator[Badge]:
    cases = group.cases
    if all(len(case.launch_throughputs) < 2 for case in cases):
        yield Badge("one launch each", _ONE_LAUNCH, "plain")
    if len(group.revisions) > 1:
        counted = [
            f"{revision} ({sum(case.revision == revision for case in cases)} of {len(cases)} cases)"
            for revision in group.revisions
        ]
        text = f"Measured at {first_of(counted)}; what cases of different ones differ by may be the code's."
        yield Badge(f"{len(group.revisions)} revisions", text, "open")
    if group.repeated:
        said = first_of([f"{case.case} has the layout of {case.degenerate}" for case in group.repeated])
        text = f"{said}: shown in the tables, and left out of the answer, means, spreads, ratings and the largest loss."
        yield Badge(f"{len(group.repeated)} counted once", text, "plain")
    if resumed := [case for case in cases if "resumed" in case.notes]:
        yield _counted("resumed", "Measured by an earlier, killed session (--gpt-resume)", resumed, "plain")
    if beyond := [case for case in cases if case.gpus > 1 and (case.efficiency or 0) > 1]:
        yield _counted("beyond 100%", f"Efficiency is {BEYOND_EFFICIENCY}", beyond, "plain")


def _counted(label: str, meaning: str, cases: list[CaseFigures], tone: Tone, advice: str = "") -> Badge:
    text = f"{meaning}: {first_of([case.case for case in cases])}."
    if advice:
        text += f" {advice[:1].upper()}{advice[1:]}."
    return Badge(f"{len(cases)} {label}", text, tone)
