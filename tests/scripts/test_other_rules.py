"""The rules of others: what each calls slower, on rounds whose answer is known."""

import random

import pytest
from scripts.calibration.other_rules import OTHER_RULES, criterion

GENERATOR = random.Random(3)
ROUNDS_S = [0.01 * GENERATOR.uniform(0.99, 1.01) for _ in range(12)]


@pytest.mark.parametrize("name", OTHER_RULES)
def test_a_rule_is_silent_about_equal_rounds_and_finds_a_half(name: str) -> None:
    assert not OTHER_RULES[name](ROUNDS_S, ROUNDS_S)
    assert OTHER_RULES[name](ROUNDS_S, [1.5 * each for each in ROUNDS_S])
    assert not OTHER_RULES[name]([1.5 * each for each in ROUNDS_S], ROUNDS_S)


def test_criterion_says_nothing_of_a_change_within_its_noise_threshold_however_sure() -> None:
    steady = [0.01 + 1e-7 * number for number in range(12)]
    assert not criterion(steady, [1.005 * each for each in steady])
    assert criterion(steady, [1.015 * each for each in steady])


def test_criterion_says_nothing_where_rounds_scatter_more_than_means_differ() -> None:
    scattered = [0.01 * factor for factor in (0.6, 0.8, 1.0, 1.2, 1.4, 1.0)]
    assert not criterion(scattered, [1.1 * each for each in scattered])
