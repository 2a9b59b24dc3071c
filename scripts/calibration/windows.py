"""Disjoint windows of a pool of launches, each of them what a session would have measured of one case.

Every window takes its launches in the order in which they ran, and no launch is in two windows of one kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import fmean

from scripts.calibration.pool_file import PooledLaunch
from scripts.calibration.schedule import NATIVE

from pytest_gpt_dist.compare.paired import confirmation_order, screening_order
from pytest_gpt_dist.compare.sessions import FRESH_LAUNCHES

ORDER = screening_order() + confirmation_order()
"""Who is first in each of a case's sixteen pairs."""


@dataclass(frozen=True)
class Couple:
    """Two launches that ran one soon after the other, in the roles of the two sides."""

    before: PooledLaunch
    after: PooledLaunch

    @property
    def log_ratio(self) -> float:
        """Log of after over before."""
        return log(self.after.datum_s) - log(self.before.datum_s)


@dataclass(frozen=True)
class Sessions:
    """Earlier sessions of some launches each, the one that came after them, and the launches of its second look."""

    earlier: tuple[tuple[PooledLaunch, ...], ...]
    now: tuple[PooledLaunch, ...]
    fresh: tuple[PooledLaunch, ...]


def natives(launches: Sequence[PooledLaunch]) -> list[PooledLaunch]:
    """Return the launches of the native engine."""
    return [launch for launch in launches if launch.engine == NATIVE]


def null_couples(launches: Sequence[PooledLaunch]) -> list[Couple]:
    """Pair launches that are alike with their successors, in the roles that a session's pairs have."""
    couples = []
    for number, (first, second) in enumerate(zip(launches[::2], launches[1::2], strict=False)):
        native_first = ORDER[number % len(ORDER)][0] == "before"
        couples.append(Couple(first, second) if native_first else Couple(second, first))
    return couples


def slowed_couples(launches: Sequence[PooledLaunch], slowed: str) -> list[Couple]:
    """Return the pairs of a slowed engine: the schedule put a native launch directly before or after each."""
    couples = []
    for first, second in zip(launches[::2], launches[1::2], strict=False):
        if slowed in (first.engine, second.engine):
            couples.append(Couple(first, second) if first.engine == NATIVE else Couple(second, first))
    return couples


def paired_windows(couples: Sequence[Couple]) -> list[tuple[Couple, ...]]:
    """Cut couples into as many as a case is screened and confirmed with."""
    size = len(ORDER)
    return [tuple(couples[end - size : end]) for end in range(size, len(couples) + 1, size)]


def null_sessions(launches: Sequence[PooledLaunch], earlier: int, size: int) -> list[Sessions]:
    """Cut launches that are alike into ``earlier`` sessions of ``size`` launches, one more, and its second look."""
    before, now = earlier * size, (earlier + 1) * size
    step = now + FRESH_LAUNCHES
    windows = []
    for start in range(0, len(launches) - step + 1, step):
        window = launches[start : start + step]
        windows.append(
            Sessions(_sessions(window[:before], size), tuple(window[before:now]), tuple(window[now:]))
        )
    return windows


def slowed_sessions(launches: Sequence[PooledLaunch], slowed: str, earlier: int, size: int) -> list[Sessions]:
    """Follow ``earlier`` native sessions of ``size`` launches by the next launches of a slowed engine."""
    sessions = _sessions(natives(launches), size)
    late = [launch for launch in launches if launch.engine == slowed]
    windows = []
    for end in range(earlier, len(sessions) + 1, earlier):
        last_s = sessions[end - 1][-1].start_s
        late = [launch for launch in late if launch.start_s > last_s]
        needed = size + FRESH_LAUNCHES
        if len(late) >= needed:
            windows.append(
                Sessions(sessions[end - earlier : end], tuple(late[:size]), tuple(late[size:needed]))
            )
            late = late[needed:]
    return windows


def mean_log_ratios(launches: Sequence[PooledLaunch], slowed: Sequence[str]) -> dict[str, float]:
    """By how much each slowed engine really was slower: the mean of its pairs; those without any left out."""
    couples = {name: slowed_couples(launches, name) for name in slowed}
    return {name: fmean(couple.log_ratio for couple in found) for name, found in couples.items() if found}


def evened(launches: Sequence[PooledLaunch], log_ratios: Mapping[str, float]) -> list[PooledLaunch]:
    """Take out of every launch what its engine is slower by, so that all are alike but for the machine's noise."""
    factors = {engine: exp(-ratio) for engine, ratio in log_ratios.items()} | {NATIVE: 1.0}
    return [
        replace(
            launch,
            datum_s=launch.datum_s * factors[launch.engine],
            rounds_s=tuple(round_s * factors[launch.engine] for round_s in launch.rounds_s),
        )
        for launch in launches
    ]


def _sessions(launches: Sequence[PooledLaunch], size: int) -> tuple[tuple[PooledLaunch, ...], ...]:
    return tuple(tuple(launches[end - size : end]) for end in range(size, len(launches) + 1, size))
