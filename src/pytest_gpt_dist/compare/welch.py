"""What the launches of two saved sessions say when there are many of them: a description, never a gate."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import expm1, log, sqrt
from statistics import fmean

from pytest_gpt_dist.compare.measured_case import MeasuredCase
from pytest_gpt_dist.compare.statistics import student_quantile, variance
from pytest_gpt_dist.measure.statistics import require_times

MIN_LAUNCHES = 8
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class LaunchDifference:
    """Relative change of time between the launches of two sessions, with its interval and their numbers."""

    effect: float
    interval: tuple[float, float]
    before_launches: int
    after_launches: int


def launch_difference(before: Sequence[float], after: Sequence[float]) -> LaunchDifference | None:
    """Compare the data of two sessions' launches (seconds per unit of work); None below eight a side.

    Welch's t interval (1947) on log time, with a confidence of 95%. It covers what launches differ by, and
    leaves out what sessions differ by: an interval beyond 0 may be a machine that was another that day.
    UsageError for what is no time.
    """
    require_times(before, "launches of the session before")
    require_times(after, "launches of the session after")
    if min(len(before), len(after)) < MIN_LAUNCHES:
        return None
    logs = [[log(launch_s) for launch_s in side] for side in (before, after)]
    errors = [variance(side) / len(side) for side in logs]
    error = sum(errors)
    shift = fmean(logs[1]) - fmean(logs[0])
    half_width = 0.0
    if error > 0:
        shares = (part**2 / (len(side) - 1) for part, side in zip(errors, logs, strict=True))
        degrees = error**2 / sum(shares)
        half_width = student_quantile((1 + CONFIDENCE) / 2, degrees) * sqrt(error)
    return LaunchDifference(
        effect=expm1(shift),
        interval=(expm1(shift - half_width), expm1(shift + half_width)),
        before_launches=len(before),
        after_launches=len(after),
    )


def describe_launches(
    current: Sequence[MeasuredCase], earlier: Sequence[MeasuredCase]
) -> list[tuple[str, LaunchDifference]]:
    """By case, what its launches differ by from those of the newest earlier session with the same fingerprint.

    Cases that have fewer than eight launches on a side are left out.
    """
    newest: dict[Hashable, MeasuredCase] = {}
    for saved in earlier:
        known = newest.setdefault(saved.identity, saved)
        if saved.saved_at > known.saved_at:
            newest[saved.identity] = saved
    described = []
    for case in current:
        last = newest.get(case.identity)
        difference = None if last is None else launch_difference(last.launches, case.launches)
        if difference is not None:
            described.append((case.name, difference))
    return described
