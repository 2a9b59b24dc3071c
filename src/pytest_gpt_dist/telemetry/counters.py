"""What counters did in a span of time that began and ended between readings of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Points = Sequence[tuple[float, float]]
"""When, in seconds, and what was read, in the order of time."""

WINDOW_S = 0.5
"""A processor's time is counted in hundredths of a second: shorter windows would show the grain of that."""


def step(before: float, after: float, limit: float) -> float:
    """How far a counter went that starts over at ``limit``; at most once between two readings."""
    return after - before if after >= before else after + limit - before


def growth(points: Points, start_s: float, end_s: float) -> float | None:
    """How far a counter went, in proportion between readings; None where they do not cover the span.

    None as well where it went backwards, which is another beginning.
    """
    values = _counted(points, [start_s, end_s])
    return None if values is None else values[1] - values[0]


def rates(points: Points, start_s: float, end_s: float) -> list[float]:
    """Growth a second in equal windows of at least ``WINDOW_S``, or one as short as the span; none as ``growth``."""
    count = max(1, int((end_s - start_s) / WINDOW_S))
    edges = [start_s + (end_s - start_s) * number / count for number in range(count + 1)]
    values = _counted(points, edges)
    if values is None or end_s <= start_s:
        return []
    return [(after - before) / (edges[1] - edges[0]) for before, after in pairwise(values)]


def interpolated(points: Points, at_s: Sequence[float]) -> list[float] | None:
    """Values at ascending times, in proportion between readings; None where these do not cover the times."""
    if not points or at_s[0] < points[0][0] or at_s[-1] > points[-1][0]:
        return None
    read = np.array(points, dtype=np.float64)
    found: list[float] = np.interp(np.array(at_s), read[:, 0], read[:, 1]).tolist()
    return found


def _counted(points: Points, at_s: Sequence[float]) -> list[float] | None:
    began_anew = any(after < before for (_, before), (_, after) in pairwise(points))
    return None if began_anew else interpolated(points, at_s)
