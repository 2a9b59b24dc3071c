"""The few statistics that verdicts need: variance, Student's quantiles, the exact sign-flip test, Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import fsum
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

MAX_EXACT_PAIRS = 16
_TIE = 1e-12
_LEAST_TO_WINSORIZE = 4
_FARTHEST = 2.5
_LEAST_SPREAD = 0.01
_CONSISTENT = 1.4826
# What a median of few absolute deviations is too small by (Croux and Rousseeuw 1992), for 4 to 9 values.
_FEW = {4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}


def variance(values: Sequence[float]) -> float:
    """Of a sample of at least two; in floating point, which is enough here and much faster than exact."""
    middle = fmean(values)
    return fsum((value - middle) ** 2 for value in values) / (len(values) - 1)


def winsorized(logs: Sequence[float]) -> list[float]:
    """Return logs of times with those far off drawn in, to 2.5 standard deviations from their median.

    The standard deviation is that of the median absolute deviation, and 1% at least: where most of them agree, a few
    odd ones must not stand for what all differ by. Fewer than four stay as they are.
    """
    count = len(logs)
    if count < _LEAST_TO_WINSORIZE:
        return list(logs)
    middle = median(logs)
    deviation = median(abs(value - middle) for value in logs)
    spread = max(_FEW.get(count, count / (count - 0.8)) * _CONSISTENT * deviation, _LEAST_SPREAD)
    lowest, highest = middle - _FARTHEST * spread, middle + _FARTHEST * spread
    return [min(max(value, lowest), highest) for value in logs]


@cache
def student_quantile(probability: float, degrees_of_freedom: float) -> float:
    """Below this lies ``probability`` of Student's t distribution."""
    return float(stdtrit(degrees_of_freedom, probability))


def sign_flip_p(log_ratios: Sequence[float]) -> float:
    """One-sided p of the mean being above 0: the share of sign patterns with a mean at least as large.

    Exact under the hypothesis that each ratio is as likely one way round as the other (Fisher 1935, section
    21): all 2^n patterns are enumerated, so that its smallest value is 2^-n. Patterns equal to the observed
    one to within rounding count as at least as large.
    """
    values = np.asarray(log_ratios, dtype=np.float64)
    if not 1 <= values.size <= MAX_EXACT_PAIRS:
        raise ValueError(f"{values.size} ratios, 1 to {MAX_EXACT_PAIRS} can be enumerated")
    sums = _signs(values.size) @ values
    return float(np.mean(sums >= values.sum() - _TIE * np.abs(values).sum()))


@cache
def _signs(count: int) -> NDArray[np.float64]:
    """All patterns of ``count`` signs, shape [2^count, count]."""
    bits = np.arange(2**count)[:, None] >> np.arange(count)
    return np.where(bits & 1, -1.0, 1.0)


def holm(p_values: Sequence[float], level: float) -> tuple[bool, ...]:
    """Which hypotheses are rejected such that all errors together have at most ``level`` (Holm 1979).

    The smallest of m p-values is held against level / m, the next against level / (m - 1), and so on; the
    first that is above its share ends it. In the order of ``p_values``.
    """
    rejected = [False] * len(p_values)
    ascending = sorted(range(len(p_values)), key=p_values.__getitem__)
    for step, index in enumerate(ascending):
        if p_values[index] > level / (len(p_values) - step):
            break
        rejected[index] = True
    return tuple(rejected)
