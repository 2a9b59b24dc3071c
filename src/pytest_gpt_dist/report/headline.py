"""The answer of a group in at most a dozen words, and who is best at what in a line each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_gpt_dist.report.compared import CaseVerdict
from pytest_gpt_dist.report.contest import Contest, contest, shares_a_device
from pytest_gpt_dist.report.figures import CaseFigures, devices
from pytest_gpt_dist.report.findings import Group
from pytest_gpt_dist.report.names import at_the_start, plain_name
from pytest_gpt_dist.report.verdicts import verdict_name
from pytest_gpt_dist.results.result_format import Wanted
from pytest_gpt_dist.results.text import first_of

Tone = Literal["good", "bad", "open", "plain"]
"""Whether a figure is as wanted, not so, or open; plain where it is neither."""
MOST_WORDS = 12
NO_ANSWER = "No answer"
_WORTH_SAYING = 0.05
"""Share of its time below which nobody asks what a case loses."""
_MIB = 2**20
_LONGEST_SIDE = 24
_Judged = tuple[CaseFigures, CaseVerdict]


@dataclass(frozen=True)
class Headline:
    """The answer in at most ``MOST_WORDS``, and a sentence on what it rests on, or on what to do for one."""

    text: str
    tone: Tone
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """What somebody looks for, what is best at that, and why."""

    wanted: str
    text: str
    why: str


def headline(group: Group) -> Headline:
    """Return the verdict of an A/B, else the fastest case, else why there is no answer."""
    if against := _against(group.cases):
        return against
    found = throughput_contest(group)
    if found.doubts:
        return _no_answer(found, group.cases)
    best, cases = found.best, group.cases
    name, speed = at_the_start(best, cases), f"{rate(best.throughput)} {group.form.rate}"
    if len(group.distinct) == 1:
        alone = "There is no other case to compare it with."
        return Headline(_within(f"{name}: {speed}", _gain(best)), "plain", alone)
    if found.level:
        level = (best, *found.level)
        return Headline(
            f"No clear winner: {len(level)} cases are level at {speed}",
            "open",
            f"Launches overlap: {_and(level, cases)}. More launches tell them apart (--gpt-launches=5).",
        )
    return Headline(_within(f"{name} is fastest: {speed}", _gain(best)), "good")


def answers(group: Group) -> tuple[Answer, ...]:
    """Return what is best in total, by latencies, and where memory is short; none of what nothing is known of."""
    several = len(group.distinct) > 1
    soonest = (_soonest(group, wanted) for wanted in group.form.wanted)
    told = [_in_total(group), *soonest, _for_memory(group)]
    return tuple(answer for answer in told if answer is not None) if several else ()


def throughput_contest(group: Group) -> Contest:
    """Return who competes for the highest throughput."""

    def overlaps(best: CaseFigures, other: CaseFigures) -> bool:
        slowest = min(best.launch_throughputs, default=best.throughput)
        return max(other.launch_throughputs, default=other.throughput) >= slowest

    return contest(group.distinct, lambda case: case.throughput, overlaps)


def rate(per_s: float) -> str:
    """Return work a second with three digits or all before the point."""
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"


def _within(text: str, further: str) -> str:
    """With what follows, if there are words left for it."""
    longer = f"{text}, {further}" if further else text
    return longer if len(longer.split()) <= MOST_WORDS else text


def _gain(case: CaseFigures) -> str:
    """Return the speed-up of a case on several devices; empty without one that can be believed."""
    if case.speedup is None or case.reference is None or case.gpus == 1:
        return ""
    if any(mark.startswith("speed-up refers to a disturbed run") for mark in case.marks):
        return ""
    return f"{case.speedup:.2f}× {_one(case.reference.gpus)}"


def _one(count: int) -> str:
    return "one device" if count == 1 else devices(count)


def _no_answer(found: Contest, cases: Sequence[CaseFigures]) -> Headline:
    kinds = {doubt.kind for doubt in found.doubts}
    disturbed = len({(doubt.case.test, doubt.case.case) for doubt in found.doubts})
    everywhere = bool(shares_a_device(found.best))
    if kinds == {"oversubscribed"}:
        text = "ranks share cores" if everywhere else "what looks fastest shares its cores"
    elif kinds == {"shared GPU"}:
        text = "ranks share a GPU" if everywhere else "what looks fastest shares a GPU"
    elif len(found.ranked) == 1:
        text = "the case was disturbed"
    else:
        text = f"{disturbed} of {found.competing} competing cases {'was' if disturbed == 1 else 'were'} disturbed"
    return Headline(f"{NO_ANSWER}: {text}", "open", f"{found.what_to_do} In doubt: {found.why_open(cases)}.")


def _in_total(group: Group) -> Answer:
    found = throughput_contest(group)
    wanted = f"Most {group.form.works} in total"
    if found.doubts:
        return Answer(wanted, NO_ANSWER, f"in doubt: {found.why_open(group.cases)}")
    best, other = found.best, found.next
    why = ""
    if other is not None:
        more = best.throughput / other.throughput - 1
        why = f"{_percent(more, 'more than', 'level with')} {plain_name(other, group.cases)}"
        why += f", which loses {lost}" if (lost := _largest_loss(other)) else ""
    if found.level:
        why = f"not clearly: launches overlap with {_and(found.level, group.cases)}"
    return Answer(
        wanted, f"{at_the_start(best, group.cases)}, {rate(best.throughput)} {group.form.rate}", why
    )


def _soonest(group: Group, wanted: Wanted) -> Answer | None:
    """Return the lowest mean of a latency; None where no case has it."""
    means = {id(case): found.mean_s for case in group.distinct if (found := case.latency(wanted.metric))}
    known = [case for case in group.distinct if means.get(id(case))]
    if not known:
        return None
    competing = contest(known, lambda case: 1 / means[id(case)])
    if competing.doubts:
        return Answer(wanted.title, NO_ANSWER, f"in doubt: {competing.why_open(group.cases)}")
    best, other = competing.best, competing.next
    told = []
    if other is not None:
        sooner = 1 - means[id(best)] / means[id(other)]
        told.append(f"{_percent(sooner, 'sooner than', 'level with')} {plain_name(other, group.cases)}")
    if (first := best.latency(wanted.first)) is not None:
        told.append(f"{wanted.first_words} {_milliseconds(first.mean_s)}")
    if best.workload.note:
        told.append(best.workload.note)
    text = f"{at_the_start(best, group.cases)}, {_milliseconds(means[id(best)])} {wanted.per}"
    return Answer(wanted.title, text, "; ".join(told))


def _for_memory(group: Group) -> Answer | None:
    """Ranks that share cores have the memory that they would have without that."""
    known = [(size, case) for case in group.distinct if (size := case.largest_memory_bytes)]
    if not known:
        return None
    size, best = min(known, key=lambda each: (each[0], each[1].gpus))
    weights = max((part for part in best.parameter_bytes if part is not None), default=None)
    told = [] if weights is None else [f"weights are {weights / _MIB:,.0f} MiB of that"]
    alone = [each for each, case in known if case.gpus == 1 and case.engine == best.engine]
    if alone and best.gpus > 1:
        told.append(f"{size / min(alone):.2f}× one device's {min(alone) / _MIB:,.0f} MiB")
    if "swapped" in best.disturbed:
        told.append("but it swapped")
    text = f"{at_the_start(best, group.cases)}, {size / _MIB:,.0f} MiB a device"
    return Answer("Least memory a device", text, "; ".join(told))


def _largest_loss(case: CaseFigures) -> str:
    """Return what takes most of its time, of what was measured; empty where that is little, or not known."""
    if case.time_lost is None:
        return ""
    kind, share = max(case.time_lost.measured.items(), key=lambda item: item[1])
    return f"{share:.0%} of its time to {kind}" if share >= _WORTH_SAYING else ""


def _against(cases: Sequence[CaseFigures]) -> Headline | None:
    """Return the verdict of an A/B on its cases, each by its worst; None where there was none."""
    judged = [(case, verdict) for case in cases for verdict in case.verdicts if verdict.paired]
    if not judged:
        return None
    sides = {case.other_side.name for case in cases if case.other_side is not None}
    side = _side(sides.pop()) if len(sides) == 1 else "the other side"

    def of(*kinds: str) -> list[_Judged]:
        return [each for each in judged if each[1].kind in kinds]

    def count(found: Sequence[_Judged]) -> str:
        several = _cases(judged)
        return f"{_cases(found)} of {several} {'case' if several == 1 else 'cases'}"

    slower, faster, open_ = of("regressed"), of("improved"), of("inconclusive", "no-baseline")
    if slower:
        text = _within(f"{count(slower)} got slower than {side}", f"up to {_most(slower):+.1%}")
        return Headline(text, "bad", _each(slower, cases))
    if open_:
        return Headline(
            f"{NO_ANSWER} against {side}: {count(open_)} undecided", "open", _reasons(open_, cases)
        )
    if faster:
        text = _within(f"{count(faster)} got faster than {side}", f"up to {_most(faster):+.1%}")
        return Headline(text, "good", _each(faster, cases))
    return Headline(
        f"No slower than {side}: {count(of('unchanged'))} unchanged", "good", _bounds(of("unchanged"))
    )


def _cases(found: Sequence[_Judged]) -> int:
    return len({(case.test, case.case) for case, _ in found})


def _side(name: str) -> str:
    """Return what the option named, in one word."""
    word = "·".join(name.partition(" (revision")[0].split())
    return word if len(word) <= _LONGEST_SIDE else f"…{word[1 - _LONGEST_SIDE :]}"


def _most(found: Sequence[_Judged]) -> float:
    return max((verdict.effect for _, verdict in found if verdict.effect is not None), key=abs, default=0.0)


def _each(found: Sequence[_Judged], cases: Sequence[CaseFigures]) -> str:
    said = [
        verdict_name(plain_name(case, cases), verdict.label)
        + ("" if verdict.effect is None else f" {verdict.effect:+.1%}")
        for case, verdict in found
    ]
    return f"Time: {first_of(said)}."


def _reasons(found: Sequence[_Judged], cases: Sequence[CaseFigures]) -> str:
    """Each reason once, with the first of the cases that have it."""
    reasons: dict[str, list[str]] = {}
    for case, verdict in found:
        reasons.setdefault(verdict.why, []).append(verdict_name(plain_name(case, cases), verdict.label))
    return f"{first_of([f'{first_of(names)}: {why}' for why, names in reasons.items()], '; ')}."


def _bounds(found: Sequence[_Judged]) -> str:
    known = [verdict.detectable for _, verdict in found if verdict.detectable is not None]
    return f"A slowdown of {max(known):.1%} would have been found." if known else ""


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"


def _and(some: Sequence[CaseFigures], cases: Sequence[CaseFigures]) -> str:
    return first_of([plain_name(case, cases) for case in some])


def _percent(more: float, words: str, level: str) -> str:
    """How much more in percent; what rounds to nothing is level."""
    return f"{more:.0%} {words}" if round(more, 2) > 0 else level
