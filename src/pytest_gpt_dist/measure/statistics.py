"""One datum a launch: how its rounds, and then the launches of a session, become one number."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p, sqrt
from statistics import NormalDist, fmean, median
from typing import Literal

import numpy as np

from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.results.checked import time_s

Drift = Literal["warming up", "slowing down"]
MIN_ROUNDS = 8
LEVEL = 0.01
"""Two-sided, of one launch whose rounds are as likely in any order."""
MIN_CHANGE = 0.01
"""From the first round to the last along the trend; half of the default of the smallest effect."""
_CRITICAL = NormalDist().inv_cdf(1 - LEVEL / 2)
_MOST_POINTS = 512


def launch_datum(samples: Sequence[float]) -> float:
    """Return seconds per token of a launch: the median of its rounds, each as long as its slowest rank.

    UsageError when there is no round, or when one is no time that a machine can take.
    """
    require_times(samples, "rounds of a launch")
    return median(samples)


def session_datum(launches: Sequence[float]) -> float:
    """Return log seconds per token of a session: the mean of the logs of its launches' data."""
    require_times(launches, "launches of a session")
    return fmean(log(launch_s) for launch_s in launches)


def require_times(values: Sequence[float], of: str) -> None:
    """Raise UsageError unless there are values, all of them times that a machine can take."""
    if not values:
        raise UsageError(f"the {of} hold no time: measure at least one")
    for value in values:
        try:
            time_s(value)
        except ValueError:
            raise UsageError(
                f"the {of} hold {quoted(value)}, which is no time: leave that result out, or measure it again"
            ) from None


def drift(samples: Sequence[float]) -> Drift | None:
    """Name the trend of a launch's rounds: seconds per token, in the order in which they ran.

    Mann and Kendall's test (1945) counts the pairs of rounds of which the later one took longer, less those
    of which it took shorter. Sen's slope (1968), the median of all pairs' slopes, says how far the trend
    goes: a change below ``MIN_CHANGE`` moves no verdict and is no drift. A few slow rounds at the start of
    a long launch are none either, because they do not move its median. None below ``MIN_ROUNDS`` rounds.
    Beyond 512 rounds, medians of as many consecutive groups stand for them. UsageError for what is no time.
    """
    require_times(samples, "rounds of a launch")
    if len(samples) < MIN_ROUNDS:
        return None
    logs = np.log(np.asarray(samples, dtype=np.float64))
    if logs.size > _MOST_POINTS:
        logs = np.array([np.median(group) for group in np.array_split(logs, _MOST_POINTS)])
    count = logs.size
    earlier, later = np.triu_indices(count, k=1)
    rises = logs[later] - logs[earlier]
    score = float(np.sign(rises).sum())
    _, ties = np.unique(logs, return_counts=True)
    variance = _pairs_variance(count) - sum(_pairs_variance(int(tied)) for tied in ties)
    if abs(score) <= 1 or (abs(score) - 1) / sqrt(variance) <= _CRITICAL:
        return None
    change = float(np.median(rises / (later - earlier))) * (count - 1)
    if abs(change) <= log1p(MIN_CHANGE):
        return None
    return "slowing down" if change > 0 else "warming up"


def _pairs_variance(count: int) -> float:
    """Of Kendall's score of ``count`` values in random order; ties subtract that of each tied group."""
    return count * (count - 1) * (2 * count + 5) / 18
