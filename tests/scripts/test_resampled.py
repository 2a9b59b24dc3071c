"""The resampling of a pool: what a window holds, and what is planted in it."""

import random

import pytest
from scripts.calibration.other_rules import OTHER_RULES
from scripts.calibration.pool_file import PooledLaunch
from scripts.calibration.resampled import PLANTED, RULES, draw, rates, table

from pytest_gpt_dist.compare.sessions import FRESH_LAUNCHES

STEADY = [
    PooledLaunch("native", float(number), 0.01, (0.01,) * 8, {"read_s": [0.004], "product_s": [0.004]})
    for number in range(40)
]


def test_the_new_session_is_slowed_with_its_second_look_and_shares_no_launch_with_earlier_ones() -> None:
    window = draw(STEADY, 10, 0.5, random.Random(1))
    later = [window.now, *window.fresh]
    assert [launch.start_s for launch in later] == [
        window.now.start_s + step for step in range(FRESH_LAUNCHES + 1)
    ]
    assert [launch.datum_s for launch in later] == pytest.approx([0.015] * (FRESH_LAUNCHES + 1))
    assert {launch.datum_s for launch in window.earlier} == {0.01}
    assert not {launch.start_s for launch in later} & {launch.start_s for launch in window.earlier}


def test_on_a_steady_machine_every_rule_finds_half_and_none_finds_nothing() -> None:
    found = rates(STEADY, draws=5, seed=1)
    assert {rate.rate for rate in found if rate.planted == 0.0} == {0.0}
    assert {rate.rate for rate in found if rate.planted == PLANTED[-1]} == {1.0}
    assert len(table(found).splitlines()) == 2 + 3 * len(RULES) - 2 * len(OTHER_RULES)


def test_on_a_machine_that_swings_as_its_yardstick_does_the_rule_is_silent_without_a_change() -> None:
    generator = random.Random(2)
    swinging = []
    for number in range(60):
        swing = generator.choice([0.5, 1.0, 1.0, 2.0])
        rounds_s = tuple(0.01 * swing * generator.uniform(0.99, 1.01) for _ in range(5))
        yardstick = {"read_s": [0.004 * swing], "product_s": [0.004 * swing]}
        swinging.append(PooledLaunch("native", float(number), rounds_s[2], rounds_s, yardstick))
    found = {(rate.rule, rate.earlier, rate.planted): rate.rate for rate in rates(swinging, draws=40, seed=1)}
    assert found["sessions", 10, 0.0] == 0.0
    assert found["sessions", 10, 0.2] > 0.9
    assert found["before", 1, 0.0] > 0.2
