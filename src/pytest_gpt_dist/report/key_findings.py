"""The key findings of a group in sentences, below its answer; every kind of report says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gpt_dist.errors import counted
from pytest_gpt_dist.report.cards import BEYOND_EFFICIENCY
from pytest_gpt_dist.report.compared import CaseVerdict
from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import AtCount, Group, Rating
from pytest_gpt_dist.report.headline import headline, throughput_contest
from pytest_gpt_dist.report.training import Contender, winners
from pytest_gpt_dist.report.verdicts import verdict_name
from pytest_gpt_dist.results.text import first_of, share

_WORTH_SAYING = 0.005
"""Share below which a loss would be said to be 0%."""
_RATED = {"efficiency": "Efficiency", "gpu_utilization": "GPU utilisation"}


@dataclass(frozen=True)
class KeyFinding:
    """What is asked, in a word or two, and the answer as plain text."""

    about: str
    text: str


def key_findings(group: Group) -> tuple[KeyFinding, ...]:
    """Return what else there is to say: distance to the limit, verdicts, efficiency, the largest loss, ratings."""
    engines = len({case.engine for case in group.cases})
    return (
        *_limit(group),
        KeyFinding("Verdicts", _verdicts(group.cases)),
        *_compared(group.cases),
        *_efficiency(group, engines),
        *_loss(group),
        *_spread(group, engines),
        *_time_and_memory(group),
        *(KeyFinding(*_rated(rating, group.repeated)) for rating in group.ratings),
    )


def at_a_glance(group: Group) -> str:
    """Return a group in a line: its answer, and its verdicts by kind."""
    kinds = _kinds([verdict.kind for each in group.cases for verdict in each.verdicts])
    return f"{headline(group).text}; verdicts: {kinds or 'none'}"


def _limit(group: Group) -> Iterator[KeyFinding]:
    """Of the case that is the answer, where there is one."""
    found = throughput_contest(group)
    if found.doubts or not group.form.limits:
        return
    case, (first, *further) = found.best, group.form.limits
    reached = case.number(first.metric)
    if reached is None:
        said = f"not known how near {case.case} is: {case.why_missing(first.metric)}"
    else:
        said = f"{first.work} of {case.case} reaches {reached:.0%} of what {first.resource} allows"
        if reached > 1 and first.beyond:
            said += f" ({first.beyond})"
    for limit in further:
        if (share_of := case.number(limit.metric)) is not None:
            said += f", its {limit.work} {share_of:.0%} of what {limit.resource} allows"
    yield KeyFinding("Against the limit", said)


def _verdicts(cases: Sequence[CaseFigures]) -> str:
    given = [(case, verdict) for case in cases for verdict in case.verdicts]
    if not given:
        return "none: the session was compared with nothing"
    text = _kinds([verdict.kind for _, verdict in given])
    worse = [verdict_name(case.case, verdict.label) for case, verdict in given if verdict.kind == "regressed"]
    return f"{text}; regressed: {first_of(worse)}" if worse else text


def _kinds(kinds: Sequence[str]) -> str:
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _compared(cases: Sequence[CaseFigures]) -> Iterator[KeyFinding]:
    """With what, where there are verdicts."""
    said = dict.fromkeys(
        _rests_on(case.other_side.name if case.other_side else "", verdict)
        for case in cases
        for verdict in case.verdicts
    )
    if said:
        yield KeyFinding("Compared with", first_of(list(said), "; "))


def _rests_on(other_side: str, verdict: CaseVerdict) -> str:
    used = verdict.used
    if verdict.paired:
        named = other_side or "another side"
        return named if used is None else f"{named}, in {used} pairs of launches"
    if used is None:
        return "no earlier session that compares" if verdict.kind == "no-baseline" else "earlier sessions"
    return counted(used, "earlier session")


def _efficiency(group: Group, engines: int) -> Iterator[KeyFinding]:
    for at in group.by_count:
        if at.gpus == 1:
            continue
        there = [case for case in group.cases if (case.engine, case.gpus) == (at.engine, at.gpus)]
        if at.mean_efficiency is not None:
            cases = counted(at.cases, "case")
            text = f"{at.mean_efficiency:.0%} ({at.measured} of {cases} measured{_not_counted(at.repeated)})"
            text += _disturbed(there) + (f"; {BEYOND_EFFICIENCY}" if at.mean_efficiency > 1 else "")
        else:
            text = f"not known: {', '.join(dict.fromkeys(case.why_missing('efficiency') for case in there))}"
        yield KeyFinding(f"Mean efficiency on {_place(at, engines)}", text)


def _loss(group: Group) -> Iterator[KeyFinding]:
    loss = group.largest_loss
    if loss is not None and loss.share > _WORTH_SAYING:
        beside = [case for case in group.repeated if case.time_lost is not None]
        text = f"{loss.case.case} loses {loss.share:.0%} of its time to {loss.kind}"
        if any(case.oversubscribed and case.time_lost is not None for case in group.cases):
            text += "; cases whose ranks share cores do not count"
        unseen = loss.case.time_lost.other if loss.case.time_lost is not None else None
        if unseen is not None and unseen > loss.share:
            text += f"; {unseen:.0%} go to what no clock saw"
        yield KeyFinding("Largest measured loss", f"{text}{_not_counted(beside)}")


def _time_and_memory(group: Group) -> Iterator[KeyFinding]:
    """Say of trainings which strategy wins on each number of devices; disturbed cases do not count."""
    for gpus in sorted({case.gpus for case in group.cases}):
        there = [case for case in group.distinct if case.gpus == gpus]
        contenders = [
            Contender(case.case, case.throughput, case.training.largest_bytes)
            for case in there
            if case.training is not None and case.training.largest_bytes is not None and not case.disturbed
        ]
        said = "; ".join(winners(contenders, group.form.rate))
        if said:
            yield KeyFinding(f"Time and memory on {devices(gpus)}", said)


def _spread(group: Group, engines: int) -> Iterator[KeyFinding]:
    for at in group.by_count:
        if at.spread is not None:
            there = [case for case in group.cases if (case.engine, case.gpus) == (at.engine, at.gpus)]
            yield KeyFinding(
                f"Spread on {_place(at, engines)}",
                f"the fastest of {at.cases}, {at.fastest.case}, has {at.spread:.2f}× the {group.form.rate}"
                f" of the slowest, {at.slowest.case}{_not_counted(at.repeated)}{_disturbed(there)}",
            )


def _not_counted(repeated: Sequence[CaseFigures]) -> str:
    return f"; {len(repeated)} not counted" if repeated else ""


def _disturbed(cases: Sequence[CaseFigures]) -> str:
    disturbed = [case for case in cases if case.disturbed]
    return f"; disturbed: {first_of([case.case for case in disturbed])}" if disturbed else ""


def _place(at: AtCount, engines: int) -> str:
    return devices(at.gpus) if engines == 1 else f"{devices(at.gpus)}, {at.engine}"


def _rated(rating: Rating, repeated: Sequence[CaseFigures]) -> tuple[str, str]:
    about = f"{_RATED[rating.figure]} of at least {rating.target:.0%}"
    known = len(rating.reached) + len(rating.missed)
    if not known:
        reasons = dict.fromkeys(case.why_missing(rating.figure) for case in rating.unknown)
        return about, f"not known: {', '.join(reasons) or 'no case on several devices'}"
    text = f"{len(rating.reached)} of {counted(known, 'case')}"
    if rating.missed:
        below = [
            f"{case.case} ({share(case.share(rating.figure) or 0.0, rating.target)})"
            for case in rating.missed
        ]
        text += f"; below it: {first_of(below)}"
    if rating.unknown:
        text += f"; unknown for {len(rating.unknown)}"
    beside = [case for case in repeated if case.share(rating.figure) is not None]
    return about, f"{text}{_not_counted(beside)}"
