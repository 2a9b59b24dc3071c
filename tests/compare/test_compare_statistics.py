"""Quantiles, the sign-flip test and Holm's correction against tables and their own definitions."""

from itertools import chain, combinations, product
from math import nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.compare.statistics import MAX_EXACT_PAIRS, holm, sign_flip_p, student_quantile, variance

THOUSANDTHS = st.lists(st.integers(-60, 60), min_size=1, max_size=9)
P_VALUES = st.lists(st.integers(1, 64).map(lambda count: count / 4096), max_size=6)


@pytest.mark.parametrize(
    ("probability", "degrees", "tabulated"),
    [(0.95, 3, 2.3534), (0.95, 4, 2.1318), (0.99, 11, 2.7181), (0.95, 13, 1.7709), (0.975, 10.0, 2.2281)],
)
def test_student_quantiles_are_those_of_the_tables(
    probability: float, degrees: float, tabulated: float
) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(tabulated, abs=5e-5)


def test_variance_divides_by_one_less_than_the_values() -> None:
    assert variance([1.0, 2.0, 6.0]) == pytest.approx(7.0)


@settings(deadline=None)
@given(values=THOUSANDTHS)
def test_sign_flip_counts_the_patterns_that_reach_the_observed_sum(values: list[int]) -> None:
    patterns = [
        sum(sign * value for sign, value in zip(signs, values, strict=True))
        for signs in product((-1, 1), repeat=len(values))
    ]
    reached = sum(pattern >= sum(values) for pattern in patterns)
    assert sign_flip_p([value / 1000 for value in values]) == reached / len(patterns)


@pytest.mark.parametrize(
    ("ratios", "patterns"),
    [([0.05] * 12, 1), ([0.05] * 11 + [-0.01], 2), ([0.0] * 12, 4096), ([-0.05] * 12, 4096)],
)
def test_sign_flip_of_twelve_pairs_by_hand(ratios: list[float], patterns: int) -> None:
    assert sign_flip_p(ratios) == patterns / 4096


@settings(deadline=None)
@given(values=THOUSANDTHS, factor=st.floats(1e-3, 1e3))
def test_sign_flip_does_not_depend_on_the_unit(values: list[int], factor: float) -> None:
    assert sign_flip_p([value * factor for value in values]) == sign_flip_p(list(map(float, values)))


@settings(deadline=None)
@given(values=THOUSANDTHS, more=st.integers(0, 20))
def test_sign_flip_falls_when_every_pair_gets_slower(values: list[int], more: int) -> None:
    assert sign_flip_p([float(value + more) for value in values]) <= sign_flip_p(list(map(float, values)))


@pytest.mark.parametrize("count", [0, MAX_EXACT_PAIRS + 1])
def test_sign_flip_refuses_what_it_cannot_enumerate(count: int) -> None:
    with pytest.raises(ValueError, match="can be enumerated"):
        sign_flip_p([0.01] * count)


@settings(deadline=None)
@given(p_values=P_VALUES)
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    level, indices = 0.01, range(len(p_values))
    subsets = list(chain.from_iterable(combinations(indices, size) for size in range(1, len(p_values) + 1)))
    closed = tuple(
        all(
            min(p_values[member] for member in subset) <= level / len(subset)
            for subset in subsets
            if index in subset
        )
        for index in indices
    )
    assert holm(p_values, level) == closed


def test_holm_by_hand() -> None:
    assert holm([0.004, 0.02, 0.0033, 0.0051], 0.01) == (False, False, False, False)
    assert holm([0.004, 0.02, 0.0025, 0.0051], 0.01) == (False, False, True, False)
    assert holm([0.003, 0.02, 0.0025, 0.005], 0.01) == (True, False, True, True)


def test_holm_rejects_at_its_share_and_not_beyond() -> None:
    assert holm([0.01], 0.01) == (True,)
    assert holm([nextafter(0.01, 1)], 0.01) == (False,)
