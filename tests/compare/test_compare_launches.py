"""From rounds to one datum a launch, and what a launch's rounds say about its trend."""

from math import exp, inf, log, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.measure.statistics import MIN_ROUNDS, drift, launch_datum, session_datum

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40)


def test_a_launch_counts_with_the_median_of_its_rounds() -> None:
    assert launch_datum([0.02, 0.01, 0.5]) == 0.02
    assert launch_datum([0.02, 0.04]) == pytest.approx(0.03)


def test_a_session_counts_with_the_mean_of_its_launches_logs() -> None:
    assert session_datum([0.01, 0.04]) == pytest.approx(log(0.02))
    assert session_datum([0.01]) == log(0.01)


@pytest.mark.parametrize("samples", [[], [nan], [inf], [0.01, 0.0], [0.01, -0.01]])
def test_what_is_no_time_is_refused(samples: list[float]) -> None:
    for taking in (launch_datum, session_datum, drift):
        with pytest.raises(UsageError, match=r"^the (rounds|launches) of a (launch|session) hold"):
            taking(samples)


def noisy(trend: list[float], seed: int = 0) -> list[float]:
    noise = 0.005 * np.random.default_rng(seed).standard_normal(len(trend))
    return [exp(value + error) for value, error in zip(trend, noise, strict=True)]


def test_times_that_fall_are_a_launch_warming_up() -> None:
    assert drift(noisy([0.10 * exp(-round_ / 6) for round_ in range(20)])) == "warming up"


def test_times_that_rise_are_a_launch_slowing_down() -> None:
    assert drift(noisy([0.003 * round_ for round_ in range(20)])) == "slowing down"


def test_a_trend_that_moves_no_verdict_is_no_drift() -> None:
    assert drift([exp(0.0004 * round_) for round_ in range(20)]) is None
    assert drift([exp(0.0006 * round_) for round_ in range(20)]) == "slowing down"


def test_a_few_outliers_are_no_drift() -> None:
    steady = [1.0, 1.01] * 9
    assert drift([1.5, 1.4, *steady]) is None
    assert drift([*steady, 1.4, 1.5]) is None


def test_a_large_trend_that_chance_explains_is_no_drift() -> None:
    assert drift([1.0, 1.2, 0.9, 1.15, 1.0, 1.25, 0.95, 1.3]) is None


def test_equal_rounds_are_no_drift() -> None:
    assert drift([0.01] * 30) is None


def test_ties_do_not_hide_a_trend() -> None:
    # score 30; its variance is 165, and 120 with the ties of five and of six: 29 / √120 = 2.65, beyond 2.58
    assert drift([1.0] * 5 + [1.05] * 6) == "slowing down"


def test_too_few_rounds_say_nothing() -> None:
    rising = [1.1**round_ for round_ in range(MIN_ROUNDS)]
    assert drift(rising[:-1]) is None
    assert drift(rising) == "slowing down"


def test_thousands_of_rounds_are_judged_by_groups() -> None:
    assert drift(noisy([0.00001 * round_ for round_ in range(5000)])) == "slowing down"


@settings(deadline=None)
@given(samples=TIMES, factor=st.sampled_from([0.25, 0.5, 2.0, 1024.0]))
def test_drift_reversed_is_the_other_drift_in_any_unit(samples: list[float], factor: float) -> None:
    opposite = {None: None, "warming up": "slowing down", "slowing down": "warming up"}
    assert drift([sample * factor for sample in reversed(samples)]) == opposite[drift(samples)]
