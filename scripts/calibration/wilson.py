"""The interval of a share that was counted."""

from math import sqrt
from statistics import NormalDist

_Z_95 = NormalDist().inv_cdf(0.975)


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, ``trials`` being at least 1."""
    share = hits / trials
    middle = (share + _Z_95**2 / (2 * trials)) / (1 + _Z_95**2 / trials)
    half = _Z_95 * sqrt(share * (1 - share) / trials + _Z_95**2 / (4 * trials**2)) / (1 + _Z_95**2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)
