"""Earlier sessions as baselines: which saved results a session's cases are judged against."""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import heappush, heappushpop
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from pytest_gpt_dist.compare.sessions import SAVE, judge_stored, no_baseline
from pytest_gpt_dist.compare.verdict import JudgedTime, Verdict
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.results import checked
from pytest_gpt_dist.results.result_format import format_of
from pytest_gpt_dist.results.saved import files_below, newest_first, read_session, unusable
from pytest_gpt_dist.telemetry.disturbances import WHAT_TO_DO, disturbing

NEWEST_SESSIONS = 30
"""So many matching sessions a case are compared with, the newest. A storage that every night adds to would
otherwise reach back to what the machine was a year ago, and more of them hardly narrow the interval: its width
goes with √(1 + 1/k), 1.02 at thirty. The rule is calibrated up to as many."""


_A_TIME = JudgedTime("")


@dataclass(frozen=True)
class MeasuredCase:
    """One case of one session: the test's id, its fingerprint, and one datum a launch in seconds per unit of work.

    ``saved_at`` is when its session was saved, as pytest-benchmark writes it: ISO 8601 in UTC, so that text
    sorts by time; empty for what is not saved yet. ``disturbances`` are the marks after which its times do
    not compare. ``time`` is what verdicts are on. ``key`` stands for the fingerprint, and is equal for equal ones.
    """

    name: str
    fingerprint: Mapping[str, Any]
    launches: tuple[float, ...]
    saved_at: str = ""
    disturbances: tuple[str, ...] = ()
    time: JudgedTime = _A_TIME
    key: Hashable = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.key is None:
            object.__setattr__(self, "key", checked.frozen(self.fingerprint))

    @classmethod
    def of(
        cls, name: str, info: Mapping[str, Any], saved_at: str = "", like: MeasuredCase | None = None
    ) -> MeasuredCase:
        """Return the case that saved these entries. UsageError, with the reason, where they are damaged.

        Nearly always the fingerprint is that of ``like``, another result of the case, and then takes no more memory.
        """
        try:
            fingerprint = checked.entries(info["fingerprint"])
            if like is None or like.fingerprint != fingerprint:
                like = None
            return cls(
                name,
                fingerprint if like is None else like.fingerprint,
                tuple(map(median, checked.launches(info["launches"]))),
                saved_at,
                disturbing(checked.maybe(checked.names, info.get("marks")) or ()),
                JudgedTime.of(format_of(info))[0],
                None if like is None else like.key,
            )
        except checked.UNREADABLE as error:
            raise UsageError(checked.reason(error)) from None

    @property
    def identity(self) -> Hashable:
        """What agrees for the results of one case on one machine, and for no others."""
        return self.name, self.key

    @cached_property
    def result(self) -> Hashable:
        """What agrees for one result wherever it is saved: by autosave, as ``--benchmark-json``, or copied."""
        return self.identity, self.launches, self.disturbances


@dataclass(frozen=True)
class Baselines:
    """Cases of earlier sessions, and a line for each file or case that cannot be used.

    ``with_current`` says that results of the session that is to be judged were among them, and left out.
    """

    cases: tuple[MeasuredCase, ...]
    skipped: tuple[str, ...] = ()
    with_current: bool = False


def read_baselines(
    bases: Sequence[Path], current: Sequence[MeasuredCase], *, current_is_saved: bool = False
) -> Baselines:
    """Return the saved results that cases of a session are judged against, each of them once.

    Of folders, the files are read from the newest name backwards, until each of the ``current`` cases has its
    sessions; what is damaged there is named and skipped, and a case that its own session found regressed is no
    baseline: repeated often enough it would hide itself. Files given by name are read in full; UsageError where one
    cannot be read. A current session that is saved may be among them, and is left out.
    """
    sought = _Sought(current, {case.result for case in current} if current_is_saved else set())
    files: list[Path] = []
    skipped: list[str] = []
    for base in bases:
        if os.path.isdir(base):  # which, unlike Path's, raises nothing: reading says what is wrong
            found, unseen = files_below(base)
            files += found
            skipped += unseen
        else:
            session = read_cases(base, sought.known)
            skipped += session.skipped
            sought.add(session.cases)
    for path in newest_first(files):
        try:
            session = read_cases(path, sought.known, with_regressed=False)
        except UsageError as error:
            skipped.append(f"skipped: {error}")
            continue
        skipped += session.skipped
        added = sought.add(session.cases)
        # One file more than it takes: a copy of an old session may have a new name.
        if sought.complete and not added:
            break
    return Baselines(tuple(sought.found.values()), tuple(skipped), sought.with_current)


def read_cases(
    path: Path, known: Mapping[str, MeasuredCase] = MappingProxyType({}), *, with_regressed: bool = True
) -> Baselines:
    """Return the cases of one file. UsageError where pytest-benchmark did not save it, or it is half written.

    ``known`` are other results by name, with which they share what is equal.
    """
    session = read_session(path)
    cases: list[MeasuredCase] = []
    skipped = list(session.skipped)
    for saved in session.cases:
        if not with_regressed and any(verdict.get("kind") == "regressed" for verdict in saved.verdicts):
            continue
        try:
            cases.append(MeasuredCase.of(saved.test, saved.info, saved.saved_at, known.get(saved.test)))
        except UsageError as error:
            skipped.append(f"left out: {unusable(saved, error)}")
    return Baselines(tuple(cases), tuple(skipped))


class _Sought:
    """Results as they are found, and whether there are enough of each case that is to be judged."""

    def __init__(self, current: Sequence[MeasuredCase], own: Collection[Hashable]) -> None:
        self.found: dict[Hashable, MeasuredCase] = {}
        self.known = {case.name: case for case in current}
        self.with_current = False
        self._own = own
        self._newest: dict[Hashable, list[str]] = {case.identity: [] for case in current}

    @property
    def complete(self) -> bool:
        """Whether each case has its sessions."""
        return all(len(times) == NEWEST_SESSIONS for times in self._newest.values())

    def add(self, cases: Iterable[MeasuredCase]) -> bool:
        """Take what is new; return whether a case that is to be judged has a newer session by it."""
        newer = False
        for case in cases:
            if case.result in self._own:
                self.with_current = True
            elif case.result not in self.found:
                self.found[case.result] = case
                self.known[case.name] = case
                newer = self._is_among_newest(case) or newer
        return newer

    def _is_among_newest(self, case: MeasuredCase) -> bool:
        times = self._newest.get(case.identity)
        if times is None or case.disturbances:
            return False
        if len(times) < NEWEST_SESSIONS:
            heappush(times, case.saved_at)
            return True
        return heappushpop(times, case.saved_at) < case.saved_at


def judge_session(
    current: Sequence[MeasuredCase], baselines: Sequence[MeasuredCase], min_effects: Mapping[str, float]
) -> list[Verdict]:
    """Return a verdict for each case of a session, against the newest of the earlier ones of its id and fingerprint.

    Which files hold them does not matter: a case that the last session left out has its baseline in an
    older one. Sessions in which it was disturbed are left out, and a change of a case that is disturbed now
    is in doubt. ``min_effects`` are by case name.
    """
    matching: dict[Hashable, list[MeasuredCase]] = {}
    namesakes: dict[str, dict[Hashable, MeasuredCase]] = {}
    for saved in baselines:
        matching.setdefault(saved.identity, []).append(saved)
        namesakes.setdefault(saved.name, {})[saved.identity] = saved
    verdicts = []
    for case in current:
        if found := matching.get(case.identity):
            verdict = _judge(case, found, len(current), min_effects[case.name])
        else:
            differing = _nearest_difference(case, namesakes.get(case.name, {}).values())
            verdict = no_baseline(case.name, case.launches, differing)
        verdicts.append(verdict.on(case.time))
    return verdicts


def _judge(case: MeasuredCase, matching: Sequence[MeasuredCase], cases: int, min_effect: float) -> Verdict:
    undisturbed = [saved for saved in matching if not saved.disturbances]
    disturbed = [saved for saved in matching if saved.disturbances]
    if not undisturbed:
        why = f"every saved session of it was disturbed ({_kinds(disturbed)})"
        kinds = dict.fromkeys(mark.partition(":")[0] for saved in disturbed for mark in saved.disturbances)
        helps = "; ".join(WHAT_TO_DO[kind] for kind in kinds if kind in WHAT_TO_DO)
        return replace(no_baseline(case.name, case.launches), why=why, remedy=f"{helps}; then {SAVE}")
    newest = sorted(undisturbed, key=lambda saved: saved.saved_at)[-NEWEST_SESSIONS:]
    since = newest[0].saved_at if len(newest) == NEWEST_SESSIONS else ""
    left_out = [saved for saved in disturbed if saved.saved_at >= since]
    launches = [saved.launches for saved in newest]
    verdict = judge_stored(case.name, case.launches, launches, cases=cases, min_effect=min_effect)
    if left_out:
        said = f"disturbed sessions left out: {len(left_out)} ({_kinds(left_out)})"
        verdict = replace(verdict, why=f"{verdict.why}; {said}")
    return verdict.doubted(case.disturbances)


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
