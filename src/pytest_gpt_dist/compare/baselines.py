"""Earlier sessions as baselines: which saved results a session's cases are judged against."""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappush, heappushpop
from pathlib import Path
from types import MappingProxyType

from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.results.saved import files_below, newest_first, read_session, unusable

NEWEST_SESSIONS = 30
"""So many matching sessions a case are compared with, the newest. A storage that every night adds to would
otherwise reach back to what the machine was a year ago, and more of them hardly narrow the interval: its width
goes with √(1 + 1/k), 1.02 at thirty. The rule is calibrated up to as many."""


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
