"""A session against earlier ones: a prediction interval on log time, with a prior for what sessions differ by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, expm1, log, log1p, sqrt
from statistics import fmean

from pytest_gpt_dist.compare.statistics import student_quantile, variance
from pytest_gpt_dist.compare.verdict import (
    BOUND_CONFIDENCE,
    MIN_EFFECT,
    Kind,
    Verdict,
    require_min_effect,
    settle,
)
from pytest_gpt_dist.errors import UsageError, counted
from pytest_gpt_dist.measure.statistics import session_datum

LEVEL = 0.05
"""One-sided, of all cases of a session together (Bonferroni)."""
PRIOR_SPREAD = 0.03
"""What sessions are assumed to differ by before any is seen: a standard deviation of log time."""
PRIOR_DEGREES = 4
"""How many degrees of freedom that assumption weighs."""
NO_SESSION = "no saved session has this case"
SAVE = "save this session for the next one to compare with (--benchmark-autosave)"
_WORTH_SAVING = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
_MOST_LAUNCHES = 64


def judge_stored(
    case: str,
    now: Sequence[float],
    baselines: Sequence[Sequence[float]],
    *,
    cases: int,
    min_effect: float = MIN_EFFECT,
) -> Verdict:
    """Return the verdict on this session's launches of a case, given those of earlier sessions.

    ``now`` and each of ``baselines`` hold the data of one session's launches (``launch_datum``), in seconds
    per unit of work; ``baselines`` are only sessions with this one's fingerprint. ``cases`` counts the cases that
    are judged in this session, this one included. No baseline at all is `no-baseline`. UsageError for
    what is no time, for ``cases`` below 1, and for a ``min_effect`` outside 0 to 1.
    """
    require_min_effect(min_effect)
    if cases < 1:
        raise UsageError(f"cases is {cases}: give the number of cases judged in this session, at least 1")
    if not baselines:
        return no_baseline(case, now)
    after = session_datum(now)
    earlier = [session_datum(launches) for launches in baselines]
    between = variance(earlier) if len(earlier) > 1 else PRIOR_SPREAD**2
    seen = _Comparison(after - fmean(earlier), len(earlier), between, cases, min_effect)
    launches = _launches_needed(seen, now, baselines) if seen.kind == "inconclusive" else None
    return Verdict(
        case=case,
        kind=seen.kind,
        mode="stored",
        after_s=exp(after),
        before_s=exp(after - seen.shift),
        effect=expm1(seen.shift),
        interval=(expm1(seen.shift - seen.limit), expm1(seen.shift + seen.limit)),
        confidence=1 - 2 * LEVEL / cases,
        detectable=expm1(max(seen.limit, log1p(min_effect))),
        used=seen.sessions,
        why=_why(seen, launches),
        needed_launches=launches,
    )


def no_baseline(case: str, now: Sequence[float], differing: Sequence[str] = ()) -> Verdict:
    """Return the verdict where nothing may be compared; ``differing`` are the fingerprint's keys that forbid it."""
    reason = f"saved sessions differ in {', '.join(differing)}" if differing else NO_SESSION
    return Verdict.without_baseline(case, "stored", exp(session_datum(now)), reason, SAVE)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A session's shift of log time from the mean of earlier ones, and the variance ``between`` those."""

    shift: float
    sessions: int
    between: float
    cases: int
    min_effect: float

    @property
    def limit(self) -> float:
        """Half width of the prediction interval on log time, at the level of all cases together."""
        return self._half_width(1 - LEVEL / self.cases)

    @property
    def bound(self) -> float:
        """How far above the shift its one-sided upper bound is."""
        return self._half_width(BOUND_CONFIDENCE)

    @property
    def kind(self) -> Kind:
        return settle(self.shift, limit=self.limit, bound=self.bound, min_effect=self.min_effect)

    def _half_width(self, probability: float) -> float:
        """Return half the interval's width; its variance is shrunk towards the prior, of ``PRIOR_DEGREES`` degrees."""
        degrees = PRIOR_DEGREES + self.sessions - 1
        shrunk = (PRIOR_DEGREES * PRIOR_SPREAD**2 + (self.sessions - 1) * self.between) / degrees
        return student_quantile(probability, degrees) * sqrt(shrunk * (1 + 1 / self.sessions))


def _sessions_needed(seen: _Comparison) -> int | None:
    """About how many earlier sessions, spread as these are, would settle the shift; None beyond a hundred."""
    for sessions in _WORTH_SAVING:
        if sessions > seen.sessions and replace(seen, sessions=sessions).kind != "inconclusive":
            return sessions
    return None


def _launches_needed(
    seen: _Comparison, now: Sequence[float], baselines: Sequence[Sequence[float]]
) -> int | None:
    """Return the smallest number of launches in each of as many sessions with which the shift would be settled.

    The spread inside sessions tells what part of the spread between them is that of launches, and so
    shrinks with their number. None where no session has two launches, or where it would not suffice.
    """
    repeated = [[log(launch_s) for launch_s in session] for session in (now, *baselines) if len(session) > 1]
    if not repeated:
        return None
    degrees = sum(len(session) - 1 for session in repeated)
    within = sum((len(session) - 1) * variance(session) for session in repeated) / degrees
    drift = max(0.0, seen.between - within * fmean(1 / len(session) for session in baselines))
    for launches in range(len(now) + 1, _MOST_LAUNCHES + 1):
        if replace(seen, between=drift + within / launches).kind != "inconclusive":
            return launches
    return None


def _why(seen: _Comparison, launches: int | None) -> str:
    sessions = counted(seen.sessions, "earlier session")
    if seen.kind in ("regressed", "improved"):
        side = expm1(seen.limit if seen.kind == "regressed" else -seen.limit)
        leave = "leaves" if seen.sessions == 1 else "leave"
        why = f"beyond the {side:+.1%} that {sessions} {leave} to noise, and beyond {seen.min_effect:.1%}"
        if seen.between > PRIOR_SPREAD**2:
            why += f"; sessions differ by {sqrt(seen.between):.1%}, above the {PRIOR_SPREAD:.0%} assumed: confirm it"
        return why
    if seen.kind == "unchanged":
        return f"at most {expm1(seen.shift + seen.bound):+.1%} with 95% confidence, from {sessions}"
    if seen.sessions == 1:
        return "one earlier session does not show what sessions differ by: save more, ten resolve about 6%"
    more = _sessions_needed(seen)
    ways = [f"about {more} earlier sessions instead of {seen.sessions}"] if more else []
    if launches:
        ways.append(f"{launches} launches in every session")
    if ways:
        return f"it would take {' or '.join(ways)}"
    return f"{sessions} differ too much, and more like them would not settle it: measure both sides in one session"
