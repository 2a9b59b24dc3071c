"""The verdicts on a session's cases: which earlier sessions each is held against, and which need a second look."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_gpt_dist.compare.baselines import NEWEST_SESSIONS
from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.compare.sessions import SAVE, is_suspect, judge_stored, no_baseline
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.results import checked
from pytest_gpt_dist.telemetry.disturbances import WHAT_TO_DO


def judge_session(
    current: Sequence[MeasuredCase], baselines: Sequence[MeasuredCase], min_effects: Mapping[str, float]
) -> list[Verdict]:
    """Return a verdict for each case of a session, against the newest of the earlier ones of its id and fingerprint.

    Which files hold them does not matter: a case that the last session left out has its baseline in an
    older one. Sessions in which it was disturbed are left out, and a change of a case that is disturbed now
    is in doubt. ``min_effects`` are by case name.
    """
    earlier = _Earlier.of(baselines)
    return [_judge(case, earlier, len(current), min_effects[case.name]).on(case.time) for case in current]


def suspects(
    current: Sequence[MeasuredCase], baselines: Sequence[MeasuredCase], min_effects: Mapping[str, float]
) -> list[str]:
    """Return the names of cases that need a second look: those that seem to have changed, disturbed or not."""
    earlier = _Earlier.of(baselines)
    return [
        case.name
        for case in current
        if is_suspect(
            case.times,
            [saved.times for saved in earlier.of_case(case).newest],
            cases=len(current),
            min_effect=min_effects[case.name],
            bound=case.bound,
        )
    ]


@dataclass(frozen=True)
class _OfCase:
    """Earlier sessions of a case: the newest undisturbed ones, and the disturbed ones of the same time."""

    newest: list[MeasuredCase]
    left_out: list[MeasuredCase]


@dataclass(frozen=True)
class _Earlier:
    """Earlier sessions, by case and machine, and by case alone."""

    matching: Mapping[Hashable, list[MeasuredCase]]
    namesakes: Mapping[str, Mapping[Hashable, MeasuredCase]]

    @classmethod
    def of(cls, baselines: Sequence[MeasuredCase]) -> _Earlier:
        matching: dict[Hashable, list[MeasuredCase]] = {}
        namesakes: dict[str, dict[Hashable, MeasuredCase]] = {}
        for saved in baselines:
            matching.setdefault(saved.identity, []).append(saved)
            namesakes.setdefault(saved.name, {})[saved.identity] = saved
        return cls(matching, namesakes)

    def of_case(self, case: MeasuredCase) -> _OfCase:
        matching = self.matching.get(case.identity, [])
        undisturbed = [saved for saved in matching if not saved.disturbances]
        newest = sorted(undisturbed, key=lambda saved: saved.saved_at)[-NEWEST_SESSIONS:]
        since = newest[0].saved_at if len(newest) == NEWEST_SESSIONS else ""
        disturbed = [saved for saved in matching if saved.disturbances and saved.saved_at >= since]
        return _OfCase(newest, disturbed)


def _judge(case: MeasuredCase, earlier: _Earlier, cases: int, min_effect: float) -> Verdict:
    found = earlier.of_case(case)
    if not found.newest:
        return _without(case, found, earlier.namesakes.get(case.name, {}).values())
    verdict = judge_stored(
        case.name,
        case.times,
        [saved.times for saved in found.newest],
        cases=cases,
        min_effect=min_effect,
        bound=case.bound,
    )
    if found.left_out:
        said = f"disturbed sessions left out: {len(found.left_out)} ({_kinds(found.left_out)})"
        verdict = replace(verdict, why=f"{verdict.why}; {said}")
    return verdict.doubted(case.disturbances)


def _without(case: MeasuredCase, found: _OfCase, namesakes: Iterable[MeasuredCase]) -> Verdict:
    """Return the verdict where no earlier session can be compared with, and why."""
    if not found.left_out:
        return no_baseline(case.name, case.times, _nearest_difference(case, namesakes))
    why = f"every saved session of it was disturbed ({_kinds(found.left_out)})"
    kinds = dict.fromkeys(mark.partition(":")[0] for saved in found.left_out for mark in saved.disturbances)
    helps = "; ".join(WHAT_TO_DO[kind] for kind in kinds if kind in WHAT_TO_DO)
    return replace(no_baseline(case.name, case.times), why=why, remedy=f"{helps}; then {SAVE}")


def _kinds(disturbed: Sequence[MeasuredCase]) -> str:
    """Return what disturbed them, without the particulars, in which no two sessions agree."""
    kinds = (mark.partition(":")[0] for case in disturbed for mark in case.disturbances)
    return ", ".join(dict.fromkeys(kinds))


def _nearest_difference(case: MeasuredCase, namesakes: Iterable[MeasuredCase]) -> list[str]:
    """Return the keys in which the saved case that is most like this one differs."""
    differences = [
        [
            key
            for key in sorted({*case.fingerprint, *saved.fingerprint})
            if checked.frozen(case.fingerprint.get(key)) != checked.frozen(saved.fingerprint.get(key))
        ]
        for saved in namesakes
    ]
    return min(differences, key=len, default=[])
