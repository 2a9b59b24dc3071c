"""What counters, and the energy of devices, came to in a span between readings."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.telemetry.counters import WINDOW_S, growth, rates, step
from pytest_gpt_dist.telemetry.energy import energy_j, integral

STEPS = st.lists(st.tuples(st.floats(0.01, 2), st.floats(0, 100)), min_size=2, max_size=20)
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


def counted(steps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Readings of a counter that goes on by steps of (seconds, growth)."""
    return list(zip(accumulate(s for s, _ in steps), accumulate(by for _, by in steps), strict=True))


def span(points: list[tuple[float, float]], shares: list[float]) -> tuple[float, float]:
    (start_s, _), (end_s, _) = points[0], points[-1]
    first, last = (min(end_s, start_s + share * (end_s - start_s)) for share in shares)
    return first, last


@settings(deadline=None)
@given(steps=STEPS, shares=SHARES)
def test_two_spans_grow_by_what_both_together_do(
    steps: list[tuple[float, float]], shares: list[float]
) -> None:
    points = counted(steps)
    start_s, end_s = points[0][0], points[-1][0]
    middle_s, _ = span(points, shares)
    parts = growth(points, start_s, middle_s), growth(points, middle_s, end_s)
    assert None not in parts
    assert sum(part for part in parts if part is not None) == pytest.approx(points[-1][1] - points[0][1])


@settings(deadline=None)
@given(steps=STEPS, shares=SHARES)
def test_the_mean_of_the_rates_is_the_growth_over_the_time(
    steps: list[tuple[float, float]], shares: list[float]
) -> None:
    points = counted(steps)
    start_s, end_s = span(points, shares)
    found = rates(points, start_s, end_s)
    if end_s - start_s < 1e-6:
        return
    grown = growth(points, start_s, end_s)
    assert grown is not None
    assert sum(found) / len(found) * (end_s - start_s) == pytest.approx(grown, abs=1e-6)
    assert len(found) == max(1, int((end_s - start_s) / WINDOW_S))


def test_a_span_between_two_readings_takes_its_share() -> None:
    assert growth([(0.0, 10.0), (4.0, 18.0)], 1.0, 2.0) == 2.0


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(0.0, 1.0), (1.5, 2.0)], [(1.2, 1.0), (3.0, 2.0)]])
def test_a_span_that_readings_do_not_cover_has_no_figure(points: list[tuple[float, float]]) -> None:
    assert growth(points, 1.0, 2.0) is None
    assert rates(points, 1.0, 2.0) == []
    assert integral(points, 1.0, 2.0) is None


def test_a_counter_that_began_anew_has_no_figure() -> None:
    assert growth([(0.0, 50.0), (1.0, 60.0), (2.0, 5.0), (3.0, 70.0)], 0.0, 3.0) is None


@settings(deadline=None)
@given(before=st.integers(0, 999), grown=st.integers(0, 999))
def test_a_counter_that_starts_over_went_on(before: int, grown: int) -> None:
    assert step(before, (before + grown) % 1000, 1000) == grown


@settings(deadline=None)
@given(watts=st.floats(0, 1000), steps=STEPS, shares=SHARES)
def test_constant_power_is_watts_times_seconds(
    watts: float, steps: list[tuple[float, float]], shares: list[float]
) -> None:
    points = [(at_s, watts) for at_s, _ in counted(steps)]
    start_s, end_s = span(points, shares)
    assert integral(points, start_s, end_s) == pytest.approx(watts * (end_s - start_s), abs=1e-6)


def test_power_that_rises_evenly_is_a_trapezoid() -> None:
    assert integral([(0.0, 0.0), (10.0, 100.0)], 2.0, 4.0) == pytest.approx((20 + 40) / 2 * 2)


def test_a_counter_of_energy_is_better_than_power() -> None:
    power = [(0.0, 100.0), (2.0, 100.0)]
    assert energy_j([(0.0, 7.0), (2.0, 17.0)], power, 0.0, 2.0) == 10.0
    assert energy_j([], power, 0.0, 2.0) == 200.0
    assert energy_j([], [], 0.0, 2.0) is None
