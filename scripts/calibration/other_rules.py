"""Rules by which others say that a benchmark got slower, on the rounds of two sessions of one launch each.

Each compares the newest session with the one before it, as these tools do; none knows what sessions differ by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

MEAN_LIMIT = 0.05
MANN_WHITNEY_LEVEL = 0.01
CODSPEED_LIMIT = 0.10
"""CodSpeed's threshold unless a repository sets another (codspeed.io/docs/features/customization)."""
CRITERION_LEVEL = 0.05
CRITERION_NOISE = 0.01
CRITERION_CONFIDENCE = 0.95
CRITERION_RESAMPLES = 1000
"""Criterion draws 100,000; a hundredth of that moves its verdict only where it is close to a limit."""

Samples = NDArray[np.float64]
Rule = Callable[[Sequence[float], Sequence[float]], bool]
"""Says of the rounds before and now whether the latter are slower."""


def mean_by_5(before_s: Sequence[float], now_s: Sequence[float]) -> bool:
    """Return whether pytest-benchmark's ``--benchmark-compare-fail=mean:5%`` alarms."""
    return fmean(now_s) > (1 + MEAN_LIMIT) * fmean(before_s)


def codspeed(before_s: Sequence[float], now_s: Sequence[float]) -> bool:
    """Return whether CodSpeed's default threshold of 10% is passed.

    Its documents do not name the statistic of a wall time; medians are what noise spares most.
    """
    return median(now_s) > (1 + CODSPEED_LIMIT) * median(before_s)


def mann_whitney(before_s: Sequence[float], now_s: Sequence[float]) -> bool:
    """Return whether rounds are slower by Mann and Whitney's test, one-sided, at 1%."""
    found = mannwhitneyu(now_s, before_s, alternative="greater")
    return bool(found.pvalue <= MANN_WHITNEY_LEVEL)


def criterion(before_s: Sequence[float], now_s: Sequence[float], seed: int = 1) -> bool:
    """Return whether Criterion.rs calls the rounds regressed, by its defaults.

    Its two-sample t-test of means is calibrated by drawing both samples from all rounds together (p < 5%); then the 95%
    interval of the means' ratio, by drawing each sample from itself, must lie beyond its noise threshold of 1%
    (bheisler.github.io/criterion.rs/book/analysis.html).
    """
    generator = np.random.default_rng(seed)
    before, now = np.asarray(before_s, dtype=np.float64), np.asarray(now_s, dtype=np.float64)
    together = np.concatenate([before, now])
    drawn = _drawn(together, before.size + now.size, generator)
    under_null = _t(drawn[:, : before.size], drawn[:, before.size :])
    observed = _t(before[None], now[None])[0]
    if not np.mean(np.abs(under_null) >= abs(observed)) < CRITERION_LEVEL:
        return False
    ratios = _drawn(now, now.size, generator).mean(1) / _drawn(before, before.size, generator).mean(1)
    return bool(np.quantile(ratios, (1 - CRITERION_CONFIDENCE) / 2) > 1 + CRITERION_NOISE)


OTHER_RULES: Mapping[str, Rule] = {
    f"pytest-benchmark mean:{MEAN_LIMIT:.0%}": mean_by_5,
    f"CodSpeed, {CODSPEED_LIMIT:.0%}": codspeed,
    "Criterion": criterion,
    f"Mann-Whitney on rounds, p ≤ {MANN_WHITNEY_LEVEL}": mann_whitney,
}


def _drawn(values: Samples, count: int, generator: np.random.Generator) -> Samples:
    return values[generator.integers(values.size, size=(CRITERION_RESAMPLES, count))]


def _t(before: Samples, now: Samples) -> Samples:
    """Return Welch's t of each row; 0 where neither means nor rounds differ."""
    difference = now.mean(1) - before.mean(1)
    error = np.sqrt(before.var(1, ddof=1) / before.shape[1] + now.var(1, ddof=1) / now.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / error)
