"""The key findings of a group in sentences, the answer first; every kind of report says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import AtCount, Group, Loss, Rating
from pytest_gpt_dist.report.verdicts import verdict_name
from pytest_gpt_dist.report.wording import first_of

_WORTH_SAYING = 0.005
"""Share below which a loss would be said to be 0%."""
_RATED = {"efficiency": "Efficiency", "gpu_utilization": "GPU utilisation"}


@dataclass(frozen=True)
class KeyFinding:
    """What is asked, in a word or two, and the answer as plain text."""

    about: str
    text: str


def key_findings(group: Group, failed: int = 0, left_out: int = 0) -> tuple[KeyFinding, ...]:
    """The fastest case, what it was not compared with, its distance to the limit, verdicts, efficiency, ratings.

    Where losses are known, the largest is said. ``failed`` and ``left_out`` count what no group has figures of.
    """
    engines = len({case.engine for case in group.cases})
    return (
        KeyFinding("Fastest case", _fastest(group.fastest)),
        *_absent(failed, left_out),
        *_failed(group.cases),
        KeyFinding("Against the limit", _limit(group.fastest)),
        KeyFinding("Verdicts", _verdicts(group.cases)),
        *_efficiency(group, engines),
        *_loss(group.largest_loss),
        *_spread(group.by_count, engines),
        *(KeyFinding(*_rated(rating)) for rating in group.ratings),
    )


def _fastest(case: CaseFigures) -> str:
    text = f"{case.case} with {case.tokens_per_s:,.1f} tokens/s ({case.layout}, {case.engine})"
    if case.speedup is not None and case.gpus > 1:
        text += f", {case.speedup:.2f}× its reference ({case.reference})"
    if case.notes:
        text += f"; note: {', '.join(case.notes)}"
    return text


def _absent(failed: int, left_out: int) -> Iterator[KeyFinding]:
    said = [f"{count} {what}" for count, what in ((failed, "failed"), (left_out, "left out")) if count]
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


def _verdicts(cases: Sequence[CaseFigures]) -> str:
    given = [(case, verdict) for case in cases for verdict in case.verdicts]
    if not given:
        return "none: the session was compared with nothing"
    kinds = [verdict.kind for _, verdict in given]
    text = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    worse = [
        verdict_name(case.case, verdict.metric) for case, verdict in given if verdict.kind == "regressed"
    ]
    return f"{text}; regressed: {', '.join(worse)}" if worse else text


def _efficiency(group: Group, engines: int) -> Iterator[KeyFinding]:
    for at in group.by_count:
        if at.gpus == 1:
            continue
        if at.mean_efficiency is not None:
            text = f"{at.mean_efficiency:.0%} ({at.measured} of {at.cases} cases measured)"
        else:
            there = [case for case in group.cases if (case.engine, case.gpus) == (at.engine, at.gpus)]
            text = f"not known: {', '.join(dict.fromkeys(case.why_missing('efficiency') for case in there))}"
        yield KeyFinding(f"Mean efficiency on {_place(at, engines)}", text)


def _loss(loss: Loss | None) -> Iterator[KeyFinding]:
    if loss is not None and loss.share > _WORTH_SAYING:
        yield KeyFinding(
            "Largest loss", f"{loss.case.case} loses {loss.share:.0%} of its time to {loss.kind}"
        )


def _spread(by_count: Sequence[AtCount], engines: int) -> Iterator[KeyFinding]:
    for at in by_count:
        if at.spread is not None:
            yield KeyFinding(
                f"Spread on {_place(at, engines)}",
                f"the fastest, {at.fastest.case}, has {at.spread:.2f}× the tokens/s of the slowest, {at.slowest.case}",
            )


def _place(at: AtCount, engines: int) -> str:
    return devices(at.gpus) if engines == 1 else f"{devices(at.gpus)}, {at.engine}"


def _rated(rating: Rating) -> tuple[str, str]:
    about = f"{_RATED[rating.figure]} of at least {rating.target:.0%}"
    known = len(rating.reached) + len(rating.missed)
    if not known:
        reasons = dict.fromkeys(case.why_missing(rating.figure) for case in rating.unknown)
        return about, f"not known: {', '.join(reasons) or 'no case on several devices'}"
    text = f"{len(rating.reached)} of {known} cases"
    if rating.missed:
        text += f"; below it: {first_of([case.case for case in rating.missed])}"
    if rating.unknown:
        text += f"; unknown for {len(rating.unknown)}"
    return about, text
