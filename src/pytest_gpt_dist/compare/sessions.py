"""A session against earlier ones: a prediction interval on log time, and a second look before an alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, expm1, log, log1p, sqrt
from statistics import fmean

from pytest_gpt_dist.compare.comparison import LEVEL, PRIOR_SPREAD, Comparison, Rule
from pytest_gpt_dist.compare.session_times import LaunchTimes, SessionTimes
from pytest_gpt_dist.compare.statistics import variance
from pytest_gpt_dist.compare.verdict import (
    CHANGED,
    MIN_EFFECT,
    Kind,
    Verdict,
    require_min_effect,
)
from pytest_gpt_dist.errors import UsageError, counted

FRESH_LAUNCHES = 4
"""Of the second look at a case that seems to have changed; each of them must say so."""
FEW_SESSIONS = 2
"""So many earlier sessions cannot show what sessions differ by: without a second look they fail nothing."""
MANY_LAUNCHES = 4
"""So many on both sides, all of one slower than all of the other, speak for themselves."""
NO_SESSION = "no saved session has this case"
SAVE = "save this session for the next one to compare with (--benchmark-autosave)"
_WORTH_SAYING = 0.03
"""A change of the machine below that is within what its yardstick can tell."""
_WORTH_SAVING = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
_MOST_LAUNCHES = 64


def judge_stored(
    case: str,
    now: SessionTimes,
    baselines: Sequence[SessionTimes],
    *,
    cases: int,
    min_effect: float = MIN_EFFECT,
    bound: Mapping[str, float] | None = None,
) -> Verdict:
    """Return the verdict on this session's launches of a case, given those of earlier sessions.

    A change is a change of the typical and of the fastest rounds, beyond what sessions and the machine leave to noise.
    Where the session took a second look, its fresh launches alone decide, and each of them must be beyond that.

    Args:
        case: its name.
        now: this session.
        baselines: only sessions with this one's fingerprint; none is `no-baseline`.
        cases: how many are judged in this session, this one included.
        min_effect: the smallest slowdown that matters.
        bound: by piece of the yardstick, the share of the case's time that is like it; they add up to 1. Empty or
            None leaves the yardsticks out.

    Raises:
        UsageError: for what is no time, for ``cases`` below 1, and for a ``min_effect`` outside 0 to 1.
    """
    require_min_effect(min_effect)
    if cases < 1:
        raise UsageError(f"cases is {cases}: give the number of cases judged in this session, at least 1")
    if not baselines:
        return no_baseline(case, now)
    rule = Rule.of(baselines, cases, min_effect, bound)
    looked = now.last_look
    seen = rule.compare(looked)
    kind, why = _settled(seen, now, looked, rule)
    launches = None
    if why is None and kind == "inconclusive":
        launches = _launches_needed(seen, looked, rule.baselines)
    return Verdict(
        case=case,
        kind=kind,
        mode="stored",
        after_s=exp(looked.datum),
        before_s=exp(looked.datum - seen.shift),
        effect=expm1(seen.effect),
        interval=(expm1(seen.effect - seen.limit), expm1(seen.effect + seen.limit)),
        confidence=1 - 2 * LEVEL / cases,
        detectable=expm1(max(seen.limit, log1p(min_effect))),
        used=seen.sessions,
        why=_with_machine(why or _why(seen, launches), seen),
        needed_launches=launches,
        machine=None if seen.machine is None else expm1(seen.machine),
        fresh_launches=len(now.fresh.launches) if now.fresh else 0,
    )


def is_suspect(
    now: SessionTimes,
    baselines: Sequence[SessionTimes],
    *,
    cases: int,
    min_effect: float = MIN_EFFECT,
    bound: Mapping[str, float] | None = None,
) -> bool:
    """Return whether the launches that every case gets ask for a second look: they seem to have changed."""
    if not baselines:
        return False
    return Rule.of(baselines, cases, min_effect, bound).compare(now).kind in CHANGED


def no_baseline(case: str, now: SessionTimes, differing: Sequence[str] = ()) -> Verdict:
    """Return the verdict where nothing may be compared; ``differing`` are the fingerprint's keys that forbid it."""
    reason = f"saved sessions differ in {', '.join(differing)}" if differing else NO_SESSION
    return Verdict.without_baseline(case, "stored", exp(now.datum), reason, SAVE)


def _settled(
    seen: Comparison, now: SessionTimes, looked: SessionTimes, rule: Rule
) -> tuple[Kind, str | None]:
    """Return the kind, and why where that is not what the interval says."""
    if now.fresh:
        return _confirmed(seen, looked, rule)
    kind = seen.kind
    if kind == "inconclusive" and seen.typical_kind in CHANGED:
        return kind, (
            f"typical rounds {_changed(seen.effect)}, the fastest {_changed(seen.fastest.slower)}: the machine was"
            " not steady meanwhile; measure again"
        )
    if kind in CHANGED and seen.sessions <= FEW_SESSIONS and not _apart(now, rule.baselines):
        earlier = counted(seen.sessions, "earlier session")
        return "inconclusive", (
            f"{_changed(seen.effect)}, which {earlier} cannot tell from the machine's changes without a second look:"
            f" a session with --gpt-baseline takes one, and so do {MANY_LAUNCHES} launches in every session"
        )
    return kind, None


def _confirmed(seen: Comparison, looked: SessionTimes, rule: Rule) -> tuple[Kind, str | None]:
    """Return what fresh launches say; a change is one that each of them shows."""
    each = [rule.compare(looked.only(launch)).kind for launch in looked.launches]
    if len(each) < FRESH_LAUNCHES:
        return (
            "inconclusive",
            "it seemed to have changed, and the second look was not finished: measure it again",
        )
    if seen.typical_kind not in CHANGED:
        return seen.kind, None
    agreeing = each.count(seen.typical_kind)
    if agreeing == len(each):
        return seen.kind, None
    return "inconclusive", (
        f"{_changed(seen.effect)}, but {agreeing} of {len(each)} fresh launches alone are beyond"
        f" {expm1(seen.limit):+.1%}: the machine is not steady; measure again, or both sides in one session"
    )


def _apart(now: SessionTimes, baselines: Sequence[SessionTimes]) -> bool:
    """Return whether many launches of this session are all slower, or all faster, than as many of earlier ones."""
    if min(len(session.launches) for session in (now, *baselines)) < MANY_LAUNCHES:
        return False
    earlier = [launch for session in baselines for launch in session.launches]
    pairs = [(mine, theirs) for mine in now.launches for theirs in earlier]
    slower = all(_is_slower(mine, theirs) for mine, theirs in pairs)
    return slower or all(_is_slower(theirs, mine) for mine, theirs in pairs)


def _is_slower(launch: LaunchTimes, other: LaunchTimes) -> bool:
    return launch.typical_s > other.typical_s and launch.fastest_s > other.fastest_s


def _sessions_needed(seen: Comparison) -> int | None:
    """About how many earlier sessions, spread as these are, would settle the shift; None beyond a hundred."""
    for sessions in _WORTH_SAVING:
        if sessions > seen.sessions and replace(seen, sessions=sessions).kind != "inconclusive":
            return sessions
    return None


def _launches_needed(seen: Comparison, now: SessionTimes, baselines: Sequence[SessionTimes]) -> int | None:
    """Return the smallest number of launches in each of as many sessions with which the shift would be settled.

    The spread inside sessions tells what part of the spread between them is that of launches, and so
    shrinks with their number. None where no session has two launches, or where it would not suffice.
    """
    sessions = [[log(launch.typical_s) for launch in session.launches] for session in (now, *baselines)]
    repeated = [logs for logs in sessions if len(logs) > 1]
    if not repeated:
        return None
    degrees = sum(len(session) - 1 for session in repeated)
    within = sum((len(session) - 1) * variance(session) for session in repeated) / degrees
    drift = max(
        0.0, seen.typical.between - within * fmean(1 / len(session.launches) for session in baselines)
    )
    for launches in range(len(now.launches) + 1, _MOST_LAUNCHES + 1):
        typical = replace(seen.typical, between=drift + within / launches)
        if replace(seen, typical=typical).typical_kind != "inconclusive":
            return launches
    return None


def _why(seen: Comparison, launches: int | None) -> str:
    sessions = counted(seen.sessions, "earlier session")
    if seen.kind in CHANGED:
        side = expm1(seen.limit if seen.kind == "regressed" else -seen.limit)
        leave = "leaves" if seen.sessions == 1 else "leave"
        why = f"beyond the {side:+.1%} that {sessions} {leave} to noise, and beyond {seen.min_effect:.1%}"
        if seen.typical.between > PRIOR_SPREAD**2:
            why += (
                f"; sessions differ by {sqrt(seen.typical.between):.1%}, above the {PRIOR_SPREAD:.0%} assumed"
            )
        return why
    if seen.kind == "unchanged":
        return f"at most {expm1(seen.effect + seen.bound):+.1%} with 95% confidence, from {sessions}"
    if seen.sessions == 1:
        return "one earlier session does not show what sessions differ by: save more, ten resolve about 6%"
    more = _sessions_needed(seen)
    ways = [f"about {more} earlier sessions instead of {seen.sessions}"] if more else []
    if launches:
        ways.append(f"{launches} launches in every session")
    if ways:
        return f"it would take {' or '.join(ways)}"
    return f"{sessions} differ too much, and more like them would not settle it: measure both sides in one session"


def _with_machine(why: str, seen: Comparison) -> str:
    """Say what the machine itself did, where that is worth saying."""
    if seen.machine is None or abs(expm1(seen.machine)) < _WORTH_SAYING:
        return why
    beyond = expm1(seen.shift - seen.machine)
    return f"{why}; the machine was {_changed(seen.machine)}, the case by {beyond:+.1%} beyond that"


def _changed(shift: float) -> str:
    """Return a shift of log time in words."""
    return f"{abs(expm1(shift)):.1%} {'slower' if shift >= 0 else 'faster'}"
