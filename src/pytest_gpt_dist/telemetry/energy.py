"""What devices used up in a span of time: from a counter of energy, else from their power. Pure."""

from __future__ import annotations

from itertools import pairwise

from pytest_gpt_dist.telemetry.counters import Points, growth, interpolated


def energy_j(counter: Points, power: Points, start_s: float, end_s: float) -> float | None:
    """Joules by the counter where there is one, else the integral of watts; None where neither covers the span."""
    counted = growth(counter, start_s, end_s)
    return integral(power, start_s, end_s) if counted is None else counted


def integral(points: Points, start_s: float, end_s: float) -> float | None:
    """Of values that change evenly between readings (trapezoids); None where these do not cover the span."""
    edges = [start_s, *(at_s for at_s, _ in points if start_s < at_s < end_s), end_s]
    values = interpolated(points, edges)
    if values is None:
        return None
    steps = zip(pairwise(edges), pairwise(values), strict=True)
    return sum((right - left) * (before + after) / 2 for (left, right), (before, after) in steps)
