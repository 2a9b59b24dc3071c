"""How far a session lies from earlier ones, and how much of that the machine and noise leave to chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median

from pytest_gpt_dist.compare.session_times import SessionTimes
from pytest_gpt_dist.compare.statistics import student_quantile, variance, winsorized
from pytest_gpt_dist.compare.verdict import BOUND_CONFIDENCE, CHANGED, Kind, settle

LEVEL = 0.05
"""One-sided, of all cases of a session together (Bonferroni)."""
PRIOR_SPREAD = 0.03
"""What sessions are assumed to differ by before any is seen: a standard deviation of log time."""
PRIOR_DEGREES = 4
"""How many degrees of freedom that assumption weighs."""
_RELATIVE_FROM = 4
"""Of so many earlier sessions one can see whether the yardstick explains what they differ by."""
_UNEXPLAINED = 0.4
"""Of a shift of the machine, what a case's own shift differs from it by: 0.14 where machines moved by 0.37."""
_ROBUST_FROM = 3
"""Of three and more sessions the median stands for all, so that one in a slow hour moves little."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """A datum's shift of log time from the middle of earlier sessions.

    Attributes:
        slower: the shift as evidence for a slowdown.
        faster: the shift as evidence for a speed-up. The two differ where the machine has moved, which may explain
            either and must excuse neither.
        between: variance of the earlier sessions.
    """

    slower: float
    faster: float
    between: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A session held against earlier ones.

    Attributes:
        shift: of typical rounds on log time, as it was seen.
        typical: the same as evidence.
        fastest: the evidence of the fastest rounds.
        sessions: how many earlier ones.
        disturbed: variance that the machine and others add to this comparison beyond what sessions differ by.
        machine: the yardstick's own shift; None where a side has none.
        relative: whether times are held against the yardsticks beside them.
        cases: that share the level.
        min_effect: the smallest slowdown that matters.
    """

    shift: float
    typical: Statistic
    fastest: Statistic
    sessions: int
    disturbed: float
    machine: float | None
    relative: bool
    cases: int
    min_effect: float

    @property
    def limit(self) -> float:
        """Half width of the prediction interval on log time, at the level of all cases together."""
        return self._half_width(1 - LEVEL / self.cases, self.typical.between)

    @property
    def bound(self) -> float:
        """How far above the shift its one-sided upper bound is."""
        return self._half_width(BOUND_CONFIDENCE, self.typical.between)

    @property
    def effect(self) -> float:
        """Return the shift that is reported: less the machine's where times are held against the yardsticks."""
        return self.shift - (self.machine or 0.0) if self.relative else self.shift

    @property
    def typical_kind(self) -> Kind:
        """Return what the typical rounds say alone."""
        return self._kind_of(self.typical)

    @property
    def kind(self) -> Kind:
        """Return what typical and fastest rounds say together: a change is one of both."""
        kind = self.typical_kind
        if kind not in CHANGED or self._kind_of(self.fastest) == kind:
            return kind
        return "inconclusive"

    def _kind_of(self, seen: Statistic) -> Kind:
        limit = self._half_width(1 - LEVEL / self.cases, seen.between)
        bound = self._half_width(BOUND_CONFIDENCE, seen.between)
        upwards = settle(seen.slower, limit=limit, bound=bound, min_effect=self.min_effect)
        downwards = settle(seen.faster, limit=limit, bound=bound, min_effect=self.min_effect)
        if upwards == "regressed" or downwards == "improved":
            return "regressed" if upwards == "regressed" else "improved"
        # What the machine may have hidden must be small, too.
        return "unchanged" if {upwards, downwards} <= {"unchanged", "improved"} else "inconclusive"

    def _half_width(self, probability: float, between: float) -> float:
        """Return half the interval's width; its variance is shrunk towards the prior, of ``PRIOR_DEGREES`` degrees."""
        degrees = PRIOR_DEGREES + self.sessions - 1
        shrunk = (PRIOR_DEGREES * PRIOR_SPREAD**2 + (self.sessions - 1) * between) / degrees
        variance_of_shift = shrunk * (1 + 1 / self.sessions) + self.disturbed
        return student_quantile(probability, degrees) * sqrt(variance_of_shift)


@dataclass(frozen=True, slots=True)
class Rule:
    """What sessions are held against.

    Attributes:
        baselines: earlier sessions, as their last look shows them.
        cases: that share the level.
        min_effect: the smallest slowdown that matters.
        bound: by piece of the yardstick, the share of the case's time that is like it.
        yardsticks: log seconds of each baseline's yardstick, weighed by ``bound``; empty where one has none.
        relative: whether times are held against the yardsticks beside them, as these explain what sessions differ by.
    """

    baselines: Sequence[SessionTimes]
    cases: int
    min_effect: float
    bound: Mapping[str, float]
    yardsticks: Sequence[float]
    relative: bool

    @classmethod
    def of(
        cls,
        baselines: Sequence[SessionTimes],
        cases: int,
        min_effect: float,
        bound: Mapping[str, float] | None,
    ) -> Rule:
        """Return the rule; of earlier sessions their second looks count, where they took one."""
        looks = [session.last_look for session in baselines]
        known = [_weighed(session, bound or {}) for session in looks]
        yardsticks = [value for value in known if value is not None]
        if len(yardsticks) < len(looks):
            yardsticks = []
        times = [session.datum for session in looks]
        enough = len(yardsticks) >= _RELATIVE_FROM
        relative = enough and variance(_less(times, yardsticks)) < variance(times)
        return cls(looks, cases, min_effect, bound or {}, yardsticks, relative)

    def compare(self, now: SessionTimes) -> Comparison:
        """Compare a session, or what one of its launches shows of it."""
        yardstick = _weighed(now, self.bound) if self.yardsticks else None
        machine = None if yardstick is None else yardstick - _middle(self.yardsticks)
        relative = self.relative and machine is not None
        times = [session.datum for session in self.baselines]
        fastest = [session.fastest_datum for session in self.baselines]
        moved = 0.0 if relative else _UNEXPLAINED * (machine or 0.0)
        return Comparison(
            shift=now.datum - _middle(winsorized(times)),
            typical=self._statistic(now.datum, times, yardstick),
            fastest=self._statistic(now.fastest_datum, fastest, yardstick),
            sessions=len(self.baselines),
            disturbed=moved**2 + self._noise_of_others(now),
            machine=machine,
            relative=relative,
            cases=self.cases,
            min_effect=self.min_effect,
        )

    def _statistic(self, now: float, earlier: Sequence[float], yardstick: float | None) -> Statistic:
        if yardstick is not None and self.relative:
            now, earlier = now - yardstick, _less(earlier, self.yardsticks)
        drawn = winsorized(earlier)
        shift = now - _middle(drawn)
        between = variance(drawn) if len(drawn) > 1 else PRIOR_SPREAD**2
        if yardstick is None or self.relative:
            return Statistic(shift, shift, between)
        beyond = shift - (yardstick - _middle(self.yardsticks))
        return Statistic(min(shift, beyond), max(shift, beyond), between)

    def _noise_of_others(self, now: SessionTimes) -> float:
        """Return the variance that others' work adds, in this session and in the middle of earlier ones."""
        earlier = sum(session.noise_of_others**2 for session in self.baselines)
        return now.noise_of_others**2 + earlier / len(self.baselines) ** 2


def _weighed(session: SessionTimes, bound: Mapping[str, float]) -> float | None:
    """Return log seconds of the session's yardstick, its pieces weighed by what the case is bound by; None without."""
    pieces = {piece: share for piece, share in bound.items() if piece in session.yardstick}
    whole = sum(pieces.values())
    if not whole:
        return None
    return sum(share / whole * session.yardstick[piece] for piece, share in pieces.items())


def _less(times: Sequence[float], yardsticks: Sequence[float]) -> list[float]:
    return [time - yardstick for time, yardstick in zip(times, yardsticks, strict=True)]


def _middle(values: Sequence[float]) -> float:
    return median(values) if len(values) >= _ROBUST_FROM else fmean(values)
