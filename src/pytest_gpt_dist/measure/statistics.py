"""One datum a launch: how its rounds, and then the launches of a session, become one number."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, log, log1p, sqrt
from statistics import NormalDist, fmean, mean, median, stdev
from typing import Literal

import numpy as np

from pytest_gpt_dist.errors import UsageError, quoted
from pytest_gpt_dist.measure.rounds import Timing
from pytest_gpt_dist.results.checked import time_s

Drift = Literal["warming up", "slowing down"]
MIN_ROUNDS = 8
LEVEL = 0.01
"""Two-sided, of one launch whose rounds are as likely in any order."""
MIN_CHANGE = 0.01
"""From the first round to the last along the trend; half of the default of the smallest effect."""
_CRITICAL = NormalDist().inv_cdf(1 - LEVEL / 2)
_MOST_POINTS = 512
PRECISION = 0.01
YARDSTICK_SHARE = 0.05
"""Of the time of the rounds, which a yardstick's readings between them may cost."""
# Two-sided 95% quantiles of Student's t for 1, 2, … degrees of freedom, and the normal distribution's beyond all.
_STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_NORMAL_95 = 1.959963984540054


def student_95(freedom: int) -> float:
    """Two-sided 95% quantile of Student's t: tabulated, or, right to six digits, by its expansion.

    The expansion is formula 26.7.5 of Abramowitz and Stegun. Verdicts, on the controller, have scipy for that, which
    would take each rank half a second and 12 MB of the memory that is measured.
    """
    if freedom <= len(_STUDENT_95):
        return _STUDENT_95[freedom - 1]
    z: float = _NORMAL_95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + fsum(term / freedom**power for power, term in enumerate(terms, 1))


class LatencySummary(float):
    """A latency in seconds: the mean as a number, with its percentiles."""

    p50: float
    p95: float
    p99: float

    def __new__(cls, mean: float, p50: float, p95: float, p99: float) -> LatencySummary:
        """Return a float that is the mean."""
        summary = super().__new__(cls, mean)
        summary.p50, summary.p95, summary.p99 = p50, p95, p99
        return summary

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return float(self)

    def as_dict(self) -> dict[str, float]:
        """As it is saved: ``mean``, ``p50``, ``p95``, ``p99``."""
        return {"mean": self.mean, "p50": self.p50, "p95": self.p95, "p99": self.p99}

    def __getnewargs__(self) -> tuple[float, float, float, float]:  # type: ignore[override]
        return self.mean, self.p50, self.p95, self.p99


def launch_datum(samples: Sequence[float]) -> float:
    """Return seconds per unit of work of a launch: the median of its rounds, each as long as its slowest rank.

    UsageError when there is no round, or when one is no time that a machine can take.
    """
    require_times(samples, "rounds of a launch")
    return median(samples)


def fastest_rounds(samples: Sequence[float]) -> float:
    """Return seconds per unit of work of a launch's fastest rounds: their lower decile, interpolated.

    It is what the launch does while nothing disturbs it. UsageError as ``launch_datum``.
    """
    require_times(samples, "rounds of a launch")
    return _percentile(sorted(samples), 0.1)


def session_datum(launches: Sequence[float]) -> float:
    """Return log seconds per unit of work of a session: the mean of the logs of its launches' data."""
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
    """Name the trend of a launch's rounds: seconds per unit of work, in the order in which they ran.

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


def throughput(samples: Sequence[float]) -> float:
    """Return work per second: samples ÷ their sum, as pytest-benchmark's ``ops``."""
    return len(samples) / sum(samples)


def summarize(values: Sequence[float]) -> LatencySummary:
    """Mean and percentiles, interpolated linearly between neighbours."""
    ordered = sorted(values)
    return LatencySummary(mean(ordered), *(_percentile(ordered, share) for share in (0.50, 0.95, 0.99)))


def speedup(throughput: float, reference_throughput: float) -> float:
    """Throughput as a multiple of the one-device reference's, which is of the same engine."""
    return throughput / reference_throughput


def efficiency(speedup: float, gpus: int) -> float:
    """Speed-up ÷ devices: 1 means that each device does as much as it does alone."""
    return speedup / gpus


def enough_rounds(rounds_s: Sequence[float], elapsed_s: float, timing: Timing) -> bool:
    """Whether to stop timing: a fixed count is reached, or the mean is known to 1%, or time is up.

    ``elapsed_s`` is the time since the first round began, with what lies between rounds. A pure function of
    what all ranks share, so that every rank decides alike.
    """
    if timing.rounds is not None:
        return len(rounds_s) >= timing.rounds
    if len(rounds_s) < timing.min_rounds:
        return False
    return elapsed_s >= timing.max_time_s or relative_half_width(rounds_s) <= PRECISION


def is_due(spent_s: float, last_s: float, rounds_s: float) -> bool:
    """Return whether the rounds so far pay for one more reading of a yardstick.

    Args:
        spent_s: what readings between them have cost.
        last_s: what the last reading cost.
        rounds_s: how long the rounds took.
    """
    return spent_s + last_s <= YARDSTICK_SHARE * rounds_s


def relative_half_width(values: Sequence[float]) -> float:
    """Half the width of the mean's 95% interval (Student's t), relative to the mean; infinite for one value."""
    if len(values) < 2:
        return float("inf")
    return student_95(len(values) - 1) * stdev(values) / sqrt(len(values)) / mean(values)


def _percentile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
