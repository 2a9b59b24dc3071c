"""One datum a launch: how its rounds, and then the launches of a session, become one number."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log
from statistics import fmean, median

from pytest_gpt_dist.errors import UsageError


def launch_datum(samples: Sequence[float]) -> float:
    """Seconds per token of a launch: the median of its rounds, each as long as its slowest rank.

    UsageError when there is no round, or when one is not a finite time above 0.
    """
    require_times(samples, "rounds of a launch")
    return median(samples)


def session_datum(launches: Sequence[float]) -> float:
    """Log seconds per token of a session: the mean of the logs of its launches' data."""
    require_times(launches, "launches of a session")
    return fmean(log(launch_s) for launch_s in launches)


def require_times(values: Sequence[float], of: str) -> None:
    """Raise UsageError unless there are values, all of them finite and above 0."""
    if not values:
        raise UsageError(f"the {of} hold no time: measure at least one")
    for value in values:
        if not (isfinite(value) and value > 0):
            raise UsageError(
                f"the {of} hold {value}, which is no time: leave that result out, or measure it again"
            )
