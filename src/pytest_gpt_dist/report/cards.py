"""The figures of the first screen: five at the most, each with what it is relative to. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gpt_dist.errors import counted
from pytest_gpt_dist.report.cells import NOTHING
from pytest_gpt_dist.report.contest import Contest
from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import EFFICIENCY_TARGET, Group
from pytest_gpt_dist.report.headline import Tone, throughput_contest
from pytest_gpt_dist.report.names import plain_name
from pytest_gpt_dist.results.text import share

BEYOND_EFFICIENCY = (
    "beyond 100%, because a device does its share faster than one device would, from its caches for one"
)
_WORST_FIRST = ("regressed", "inconclusive", "no-baseline", "improved", "unchanged")


@dataclass(frozen=True)
class Card:
    """A figure under its name, and in a few words what it is of, or why there is none."""

    name: str
    value: str
    note: str
    tone: Tone


def cards(group: Group) -> tuple[Card, ...]:
    """Return speed-up, efficiency, share of the limit, verdicts and exactness; of an A/B the verdicts come first."""
    found = throughput_contest(group)
    verdicts = _verdicts(group)
    figures = (_speedup(found, group), _efficiency(found), *_limit(found, group))
    if any(verdict.paired for case in group.cases for verdict in case.verdicts):
        return (verdicts, *figures, _exactness(group))
    return (*figures, verdicts, _exactness(group))


def _speedup(found: Contest, group: Group) -> Card:
    best = found.best
    if found.doubts:
        return _open("Speed-up", "no answer to give one for")
    if best.speedup is None or best.reference is None:
        return _open("Speed-up", best.why_missing("speedup"))
    if any(mark.startswith("speed-up refers to a disturbed run") for mark in best.marks):
        return _open("Speed-up", "the run on one device was disturbed")
    place = devices(best.reference.gpus)
    engines = {case.engine for case in group.cases} | {best.reference.engine}
    note = f"of {place}" if len(engines) == 1 else f"of {best.reference.engine} on {place}"
    if found.level or any(verdict.paired for case in group.cases for verdict in case.verdicts):
        note = f"{note}, by {plain_name(best, group.cases)}"
    if best.gpus == 1 and len(group.distinct) > 1:
        note = "no split is faster than one device"
    return Card("Speed-up", f"{best.speedup:.2f}×", note, "plain")


def _efficiency(found: Contest) -> Card:
    best = found.best
    if found.doubts:
        return _open("Efficiency", "no answer to give one for")
    if best.gpus == 1:
        return Card("Efficiency", NOTHING, "one device has nothing to share", "plain")
    if best.efficiency is None:
        return _open("Efficiency", best.why_missing("efficiency"))
    note = f"of a linear speed-up on {devices(best.gpus)}"
    if best.efficiency > 1:
        note = BEYOND_EFFICIENCY
    tone: Tone = "good" if best.efficiency >= EFFICIENCY_TARGET else "open"
    return Card("Efficiency", share(best.efficiency, EFFICIENCY_TARGET), note, tone)


def _limit(found: Contest, group: Group) -> Iterator[Card]:
    """Of the limit that counts most, where the mode has one."""
    for limit in group.form.limits[:1]:
        best, name = found.best, "Of the limit"
        share_of = best.number(limit.metric)
        if found.doubts:
            yield _open(name, "no answer to give one for")
        elif share_of is None:
            yield _open(name, best.why_missing(limit.metric))
        else:
            usual = f"of what {limit.resource} allows {limit.work}"
            yield Card(name, f"{share_of:.0%}", limit.beyond if share_of > 1 else usual, "plain")


def _verdicts(group: Group) -> Card:
    """Each case by its worst."""
    worst = [
        min((verdict.kind for verdict in case.verdicts), key=_place) for case in group.cases if case.verdicts
    ]
    if not worst:
        return Card("Verdicts", "none", "compared with no other session", "plain")
    kinds = sorted(set(worst), key=_place)
    first = kinds[0]
    rest = ", ".join(f"{worst.count(kind)} {kind}" for kind in kinds[1:])
    tone: Tone = "bad" if first == "regressed" else "good" if first in ("improved", "unchanged") else "open"
    note = f"{first}, {rest}" if rest else first
    return Card("Verdicts", str(worst.count(first)), f"{note}; of {counted(len(worst), 'case')}", tone)


def _place(kind: str) -> int:
    return _WORST_FIRST.index(kind) if kind in _WORST_FIRST else 0


def _exactness(group: Group) -> Card:
    known = [case for case in group.cases if case.matches_reference is not None]
    if not known:
        return _open("Exact", "no reference to compare with")
    right = sum(case.matches_reference is True for case in known)
    errors = [case.error for case in known if case.error is not None]
    note = "cases give what one device gives"
    note += f", {group.form.error_of} within {max(errors):.0e}" if errors else ""
    return Card("Exact", f"{right} of {len(group.cases)}", note, _exact_tone(known, group.cases))


def _exact_tone(known: list[CaseFigures], cases: tuple[CaseFigures, ...]) -> Tone:
    if any(case.matches_reference is False for case in known):
        return "bad"
    return "good" if len(known) == len(cases) else "open"


def _open(name: str, why: str) -> Card:
    return Card(name, NOTHING, why, "open")
