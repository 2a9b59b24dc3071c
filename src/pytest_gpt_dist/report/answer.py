"""The key findings of a group in sentences, the answer first; every kind of report says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gpt_dist.report.compared import CaseVerdict
from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import AtCount, Findings, Group, Rating
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


def key_findings(group: Group, findings: Findings) -> tuple[KeyFinding, ...]:
    """The fastest case, what it was not compared with, its distance to the limit, verdicts, efficiency, ratings.

    Where losses are known, the largest is said. What no group has figures of, ``findings`` tell.
    """
    engines = len({case.engine for case in group.cases})
    return (
        KeyFinding("Fastest case", _fastest(group)),
        *_absent(findings),
        *_failed(group.cases),
        *_revisions(group),
        KeyFinding("Against the limit", _limit(group.fastest)),
        KeyFinding("Verdicts", _verdicts(group.cases)),
        *_compared(group.cases),
        *_counted_once(group.repeated),
        *_efficiency(group, engines),
        *_loss(group),
        *_spread(group.by_count, engines),
        *(KeyFinding(*_rated(rating, group.repeated)) for rating in group.ratings),
    )


def at_a_glance(group: Group) -> str:
    """A group in a line: its fastest case, and its verdicts by kind."""
    case = group.fastest
    kinds = _kinds([verdict.kind for each in group.cases for verdict in each.verdicts])
    return f"fastest {case.case} with {case.tokens_per_s:,.1f} tokens/s; verdicts: {kinds or 'none'}"


def _fastest(group: Group) -> str:
    case = group.fastest
    text = f"{case.case} with {case.tokens_per_s:,.1f} tokens/s ({case.layout}, {case.engine})"
    if case.speedup is not None and case.gpus > 1:
        text += f", {case.speedup:.2f}× its reference ({case.reference})"
    if group.not_slower:
        others = first_of([f"{other.case} ({_launches(other)})" for other in group.not_slower])
        text += f"; not clearly so: its launches ({_launches(case)}) overlap with those of {others}"
    elif all(len(each.launches_tokens_per_s) < 2 for each in group.cases):
        text += "; one launch a case, so how far launches differ is not known"
    if case.notes:
        text += f"; note: {', '.join(case.notes)}"
    return text


def _launches(case: CaseFigures) -> str:
    """From the slowest to the fastest; of one launch, that."""
    found = case.launch_range_tokens_per_s
    return f"{case.tokens_per_s:,.1f}" if found is None else f"{found[0]:,.1f} to {found[1]:,.1f}"


def _absent(findings: Findings) -> Iterator[KeyFinding]:
    said = [
        f"{len(lines)} {what}"
        for lines, what in (
            (findings.failed, "failed"),
            (findings.left_out, "left out"),
            (findings.skipped, "files or folders not read in full"),
        )
        if lines
    ]
    if said:
        yield KeyFinding("Not in this answer", f"{', '.join(said)}; the notes at the end say which, and why")


def _failed(cases: Sequence[CaseFigures]) -> Iterator[KeyFinding]:
    failed = [case.case for case in cases if case.failed]
    if failed:
        yield KeyFinding("Measured, then failed", first_of(failed))


def _limit(case: CaseFigures) -> str:
    if case.bandwidth_fraction is None:
        limit = f"not known how near that is: {case.why_missing('bandwidth_fraction')}"
    else:
        limit = f"its decoding reaches {case.bandwidth_fraction:.0%} of what reading memory allows"
    if case.compute_fraction is not None:
        limit += f", its prefill {case.compute_fraction:.0%} of what arithmetic allows"
    return limit


def _revisions(group: Group) -> Iterator[KeyFinding]:
    if len(group.revisions) > 1:
        counted = [
            f"{revision} ({sum(case.revision == revision for case in group.cases)} of {len(group.cases)} cases)"
            for revision in group.revisions
        ]
        yield KeyFinding(
            "Not one revision",
            f"measured at {first_of(counted)}; what cases of different ones differ by may be the code's",
        )


def _verdicts(cases: Sequence[CaseFigures]) -> str:
    given = [(case, verdict) for case in cases for verdict in case.verdicts]
    if not given:
        return "none: the session was compared with nothing"
    text = _kinds([verdict.kind for _, verdict in given])
    worse = [
        verdict_name(case.case, verdict.metric) for case, verdict in given if verdict.kind == "regressed"
    ]
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
    return "1 earlier session" if used == 1 else f"{used} earlier sessions"


def _efficiency(group: Group, engines: int) -> Iterator[KeyFinding]:
    for at in group.by_count:
        if at.gpus == 1:
            continue
        if at.mean_efficiency is not None:
            text = f"{at.mean_efficiency:.0%} ({at.measured} of {at.cases} cases measured{_not_counted(at.repeated)})"
        else:
            there = [case for case in group.cases if (case.engine, case.gpus) == (at.engine, at.gpus)]
            text = f"not known: {', '.join(dict.fromkeys(case.why_missing('efficiency') for case in there))}"
        yield KeyFinding(f"Mean efficiency on {_place(at, engines)}", text)


def _loss(group: Group) -> Iterator[KeyFinding]:
    loss = group.largest_loss
    if loss is not None and loss.share > _WORTH_SAYING:
        beside = [case for case in group.repeated if case.lost is not None]
        text = f"{loss.case.case} loses {loss.share:.0%} of its time to {loss.kind}"
        if any(case.oversubscribed and case.lost is not None for case in group.cases):
            text += "; cases whose ranks share cores do not count"
        unseen = loss.case.lost.other if loss.case.lost is not None else None
        if unseen is not None and unseen > loss.share:
            text += f"; {unseen:.0%} go to what no clock saw"
        yield KeyFinding("Largest measured loss", f"{text}{_not_counted(beside)}")


def _spread(by_count: Sequence[AtCount], engines: int) -> Iterator[KeyFinding]:
    for at in by_count:
        if at.spread is not None:
            yield KeyFinding(
                f"Spread on {_place(at, engines)}",
                f"the fastest of {at.cases}, {at.fastest.case}, has {at.spread:.2f}× the tokens/s of the slowest,"
                f" {at.slowest.case}{_not_counted(at.repeated)}",
            )


def _counted_once(repeated: Sequence[CaseFigures]) -> Iterator[KeyFinding]:
    if repeated:
        said = first_of([f"{case.case} has the layout of {case.degenerate}" for case in repeated])
        yield KeyFinding("Counted once", f"{said}; means, spreads, ratings and the largest loss leave it out")


def _not_counted(repeated: Sequence[CaseFigures]) -> str:
    return f"; {len(repeated)} not counted" if repeated else ""


def _place(at: AtCount, engines: int) -> str:
    return devices(at.gpus) if engines == 1 else f"{devices(at.gpus)}, {at.engine}"


def _rated(rating: Rating, repeated: Sequence[CaseFigures]) -> tuple[str, str]:
    about = f"{_RATED[rating.figure]} of at least {rating.target:.0%}"
    known = len(rating.reached) + len(rating.missed)
    if not known:
        reasons = dict.fromkeys(case.why_missing(rating.figure) for case in rating.unknown)
        return about, f"not known: {', '.join(reasons) or 'no case on several devices'}"
    text = f"{len(rating.reached)} of {known} cases"
    if rating.missed:
        below = [
            f"{case.case} ({share(getattr(case, rating.figure), rating.target)})" for case in rating.missed
        ]
        text += f"; below it: {first_of(below)}"
    if rating.unknown:
        text += f"; unknown for {len(rating.unknown)}"
    beside = [case for case in repeated if getattr(case, rating.figure) is not None]
    return about, f"{text}{_not_counted(beside)}"
