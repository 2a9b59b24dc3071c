"""Launches of two sessions beside each other."""

from math import exp, log1p, nan, sqrt

import pytest

from pytest_gpt_dist.compare.welch import launch_difference
from pytest_gpt_dist.errors import UsageError


def launches(count: int, mean: float, spread: float) -> list[float]:
    """An even number of launches with this mean log and exactly this standard deviation."""
    half = spread * sqrt((count - 1) / count)
    return [exp(mean + (half if index % 2 else -half)) for index in range(count)]


def test_the_interval_is_welchs() -> None:
    # variances 1e-4 / 10 and 4e-4 / 10: (5e-5)² / ((1e-5)² / 9 + (4e-5)² / 9) = 13.235 degrees, t = 2.15645
    difference = launch_difference(launches(10, 0, 0.01), launches(10, 0.03, 0.02))
    assert difference is not None
    assert difference.effect == pytest.approx(exp(0.03) - 1)
    half = (log1p(difference.interval[1]) - log1p(difference.interval[0])) / 2
    assert half == pytest.approx(2.1565 * sqrt(5e-5), rel=1e-3)
    assert (difference.before_launches, difference.after_launches) == (10, 10)


def test_fewer_than_eight_launches_a_side_say_nothing() -> None:
    eight = launches(8, 0, 0.01)
    assert launch_difference(eight, eight) is not None
    assert launch_difference(eight[:7], eight) is None
    assert launch_difference(eight, eight[:7]) is None


def test_launches_without_spread_have_an_interval_without_width() -> None:
    difference = launch_difference([1.0] * 8, [1.0] * 8)
    assert difference is not None
    assert difference.interval == (0, 0)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="launches of the session after hold nan"):
        launch_difference([0.01] * 8, [0.01] * 7 + [nan])
