"""Two sides on one machine: orders, suspicion, the suite's verdicts, and the null control."""

import json
from collections.abc import Sequence
from math import exp, inf, log1p, nan, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.compare.paired import (
    Order,
    Pair,
    PairedCase,
    confirmation_order,
    data,
    flagged,
    judge_paired,
    launches_needed,
    pairs_a_datum,
    screening_order,
    suspect,
)
from pytest_gpt_dist.compare.statistics import holm, sign_flip_p
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import UsageError

MIN_EFFECT = 0.0213  # on no multiple of the drawn logs, so that rounding decides nothing
RATIO = st.integers(-120, 120).map(lambda thousandths: thousandths / 1000)
FOUR = st.lists(RATIO, min_size=4, max_size=4)
TWELVE = st.lists(RATIO, min_size=12, max_size=12)
SUITE = st.lists(st.tuples(FOUR, TWELVE), min_size=1, max_size=6)

STEADY = (0.0, 0.01, 0.0, 0.01)
SLOWER = (0.05,) * 4
SPEED_UP = (-0.05,) * 4


def pairs(ratios: Sequence[float], unit: float = 0.01) -> tuple[Pair, ...]:
    return tuple(Pair(unit, unit * exp(ratio)) for ratio in ratios)


def measured(
    name: str,
    screening: Sequence[float],
    confirmation: Sequence[float] = (),
    control: Sequence[float] = (),
    *,
    min_effect: float = 0.02,
    unit: float = 0.01,
) -> PairedCase:
    """A case as a session leaves it: confirmed only if it was suspected."""
    screened = pairs(screening, unit)
    fresh = pairs(confirmation, unit) if suspect(screened, min_effect) else ()
    return PairedCase(name, screened, fresh, pairs(control, unit), min_effect)


def judge(case: PairedCase) -> Verdict:
    return judge_paired([case])[0]


def spread_of(mean: float, deviation: float) -> list[float]:
    """Twelve log ratios with this mean and exactly this standard deviation."""
    half = deviation * sqrt(11 / 12)
    return [mean + (half if index % 2 else -half) for index in range(12)]


@pytest.mark.parametrize(("order", "count"), [(screening_order(), 4), (confirmation_order(), 12)])
def test_every_pair_has_both_sides_and_each_is_first_equally_often(order: Order, count: int) -> None:
    assert len(order) == count
    assert all(set(pair) == {"before", "after"} for pair in order)
    assert sum(first == "before" for first, _ in order) == count / 2


def test_screening_is_ab_ba_ab_ba_and_confirmation_begins_with_the_other_side() -> None:
    assert [first for first, _ in screening_order()] == ["before", "after"] * 2
    assert confirmation_order()[0][0] == "after"


@pytest.mark.parametrize(
    ("order", "power"), [(screening_order(), 1), (confirmation_order(), 1), (confirmation_order(), 2)]
)
def test_the_order_cancels_a_drifting_machine(order: Order, power: int) -> None:
    total = 0
    for index, (first, _) in enumerate(order):
        earlier, later = (2 * index) ** power, (2 * index + 1) ** power
        total += later - earlier if first == "before" else earlier - later
    assert total == 0


def test_a_case_is_suspect_beyond_half_the_smallest_effect_in_either_direction() -> None:
    assert suspect(pairs([0.0101] * 4)) == "slower"
    assert suspect(pairs([-0.0101] * 4)) == "faster"
    assert suspect(pairs([0.0099] * 4)) is None
    assert suspect(pairs([-0.0099] * 4)) is None
    assert suspect(pairs([0.05, -0.02, -0.02, 0.04])) == "slower"
    assert suspect(pairs([0.0101] * 4), 0.03) is None


def test_twelve_fresh_slower_pairs_are_a_regression() -> None:
    verdict = judge(measured("c", SLOWER, spread_of(0.03, 0.01)))
    assert (verdict.kind, verdict.used, verdict.p_value) == ("regressed", 12, 1 / 4096)
    assert verdict.fails
    assert verdict.effect == pytest.approx(exp(0.03) - 1)
    assert verdict.interval is not None
    half = 2.200985 * 0.01 / sqrt(12)
    assert [log1p(end) for end in verdict.interval] == pytest.approx([0.03 - half, 0.03 + half], rel=1e-6)
    assert verdict.before_s == pytest.approx(0.01)
    assert verdict.after_s == pytest.approx(0.01 * exp(0.03))


def test_twelve_fresh_faster_pairs_are_an_improvement_and_fail_nothing() -> None:
    verdict = judge(measured("c", SPEED_UP, spread_of(-0.03, 0.01)))
    assert (verdict.kind, verdict.p_value, verdict.fails) == ("improved", 1 / 4096, False)


def test_the_screening_is_not_tested_again() -> None:
    verdict = judge(measured("c", [0.5] * 4, spread_of(0.0, 0.01)))
    assert verdict.kind == "unchanged"
    assert verdict.effect == pytest.approx(0)
    assert verdict.p_value is not None
    assert verdict.p_value > 0.4


def test_a_significant_slowdown_below_the_smallest_effect_is_unchanged() -> None:
    verdict = judge(measured("c", SLOWER, spread_of(0.015, 0.005)))
    assert (verdict.kind, verdict.p_value) == ("unchanged", 1 / 4096)


def test_a_large_slowdown_that_is_not_significant_is_inconclusive() -> None:
    ratios = [0.4, 0.3, -0.2, 0.25, -0.1, 0.05, 0.3, -0.3, 0.2, -0.1, 0.1, 0.0]
    verdict = judge(measured("c", SLOWER, ratios))
    assert verdict.p_value is not None
    assert verdict.p_value > 0.01
    assert verdict.kind == "inconclusive"
    assert verdict.needed_launches is not None
    assert verdict.needed_launches > 12
    assert f"about {verdict.needed_launches} launches a side" in verdict.why


def test_no_suspicion_rests_on_the_four_pairs() -> None:
    verdict = judge(measured("c", STEADY))
    assert (verdict.kind, verdict.used, verdict.p_value) == ("unchanged", 4, None)
    assert "at most +1.2%" in verdict.why  # 0.005 + 2.3534 · 0.0057735 / 2
    noisy = judge(measured("c", [0.05, -0.05, 0.05, -0.05]))
    assert noisy.kind == "inconclusive"
    assert noisy.needed_launches is not None


def test_a_suspect_that_was_not_confirmed_is_inconclusive_and_still_counts() -> None:
    slow = measured("c", SLOWER, [0.05] * 9 + [-0.018] * 3)
    (alone,) = judge_paired([slow])
    assert alone.kind == "regressed"
    assert alone.p_value is not None
    assert 0.01 / 4 < alone.p_value <= 0.01
    unconfirmed = [PairedCase(f"u{index}", pairs(SLOWER)) for index in range(3)]
    verdicts = judge_paired([slow, *unconfirmed])
    assert [verdict.kind for verdict in verdicts] == ["inconclusive"] * 4
    assert "not finished" in verdicts[1].why
    assert (verdicts[1].p_value, verdicts[1].needed_launches) == (None, 12)


def test_suspects_of_a_speed_up_take_nothing_from_those_of_a_slowdown() -> None:
    slow = measured("c", SLOWER, [0.05] * 9 + [-0.018] * 3)
    others = [measured(f"f{index}", SPEED_UP, spread_of(0.0, 0.01)) for index in range(8)]
    steady = [measured(f"s{index}", STEADY) for index in range(8)]
    assert judge_paired([*others, slow, *steady])[8].kind == "regressed"


def test_with_too_many_suspects_the_reason_is_said() -> None:
    suite = [measured(str(index), SLOWER, spread_of(0.05, 0.001)) for index in range(41)]
    assert {verdict.kind for verdict in judge_paired(suite[:40])} == {"regressed"}
    verdicts = judge_paired(suite)
    assert {verdict.kind for verdict in verdicts} == {"inconclusive"}
    assert verdicts[0].why == "with 41 suspects twelve pairs can show nothing: select at most 40 cases"


def test_a_null_control_that_is_flagged_too_takes_the_verdict_back() -> None:
    for sign, kind in ((1, "regressed"), (-1, "improved")):
        ratios = [sign * ratio for ratio in spread_of(0.05, 0.01)]
        screening = [sign * 0.05] * 4
        clean = spread_of(0.0, 0.01)
        assert judge(measured("c", screening, ratios, clean)).kind == kind
        for control in (spread_of(0.04, 0.01), spread_of(-0.04, 0.01)):
            verdict = judge(measured("c", screening, ratios, control))
            assert verdict.kind == "inconclusive"
            assert "one side alone" in verdict.why


def test_a_null_control_makes_no_regression() -> None:
    verdict = judge(measured("c", SLOWER, spread_of(0.0, 0.01), spread_of(0.05, 0.01)))
    assert verdict.kind == "unchanged"


def test_flagged_is_significant_alone_and_beyond_the_smallest_effect() -> None:
    assert flagged(pairs(spread_of(0.03, 0.01))) == "slower"
    assert flagged(pairs(spread_of(-0.03, 0.01))) == "faster"
    assert flagged(pairs(spread_of(0.015, 0.001))) is None
    assert flagged(pairs(spread_of(0.03, 0.2))) is None


def test_the_detectable_effect_is_the_smallest_effect_or_what_the_spread_allows() -> None:
    quiet, noisy = (judge(measured("c", SLOWER, spread_of(0.0, spread))) for spread in (0.001, 0.05))
    assert quiet.detectable == pytest.approx(0.02)
    assert noisy.detectable == pytest.approx(exp(2.718079 * 0.05 / sqrt(12)) - 1, rel=1e-5)
    screened = judge(measured("c", [0.05, -0.05, 0.05, -0.05]))  # as the twelve pairs would have seen it
    assert screened.detectable == pytest.approx(exp(2.718079 * sqrt(1 / 300) / sqrt(12)) - 1, rel=1e-5)
    four = judge_paired([measured("c", SLOWER, spread_of(0.0, 0.05))] * 4)
    assert four[0].detectable == pytest.approx(exp(3.496614 * 0.05 / sqrt(12)) - 1, rel=1e-5)


def test_launches_needed_by_hand() -> None:
    # the bound of 31 pairs is t(30) · 0.1 / √31 = 0.03048, of 30 pairs 0.03102; there is room for 0.0392 - 0.0085
    assert launches_needed(0.0085, 0.1, level=1e-6, min_effect=0.02, more_than=12) == 31
    assert launches_needed(0.0085, 0.1, level=1e-6, min_effect=0.02, more_than=40) == 41
    # the limit is t · 0.3 / √n, with t(91) = 3.1822 at 0.1% and t(51) = 2.4017 at 1%
    assert launches_needed(0.1, 0.3, level=0.001, min_effect=0.02, more_than=12) == 92
    assert launches_needed(0.1, 0.3, level=0.01, min_effect=0.02, more_than=12) == 52
    assert launches_needed(0.0, 10.0, level=0.01, min_effect=0.02, more_than=12) is None


@settings(deadline=None)
@given(suite=SUITE)
def test_a_suite_is_judged_by_holm_over_its_suspects(suite: list[tuple[list[float], list[float]]]) -> None:
    verdicts = judge_paired([measured("c", *case, min_effect=MIN_EFFECT) for case in suite])
    suspects = [index for index, (screening, _) in enumerate(suite) if sum(screening) / 4 > MIN_EFFECT / 2]
    p_values = [sign_flip_p(suite[index][1]) for index in suspects]
    expected = {
        index
        for index, rejected in zip(suspects, holm(p_values, 0.01), strict=True)
        if rejected and sum(suite[index][1]) / 12 > log1p(MIN_EFFECT)
    }
    assert {index for index, verdict in enumerate(verdicts) if verdict.kind == "regressed"} == expected


@settings(deadline=None)
@given(suite=SUITE)
def test_exchanging_the_sides_mirrors_the_verdicts(suite: list[tuple[list[float], list[float]]]) -> None:
    def exchanged(some: tuple[Pair, ...]) -> tuple[Pair, ...]:
        return tuple(Pair(pair.after_s, pair.before_s) for pair in some)

    cases = [measured("c", *case, min_effect=MIN_EFFECT) for case in suite]
    other_way = [
        PairedCase("c", exchanged(case.screening), exchanged(case.confirmation), (), MIN_EFFECT)
        for case in cases
    ]
    for verdict, mirrored in zip(judge_paired(cases), judge_paired(other_way), strict=True):
        assert (verdict.kind == "regressed") == (mirrored.kind == "improved")
        assert (verdict.kind == "improved") == (mirrored.kind == "regressed")
        assert verdict.p_value == mirrored.p_value
        assert verdict.effect is not None
        assert mirrored.effect is not None
        assert log1p(verdict.effect) == pytest.approx(-log1p(mirrored.effect), abs=1e-9)


@settings(deadline=None)
@given(suite=SUITE, factor=st.floats(1e-3, 1e3))
def test_a_common_factor_changes_nothing(suite: list[tuple[list[float], list[float]]], factor: float) -> None:
    plain = judge_paired([measured("c", *case, min_effect=MIN_EFFECT) for case in suite])
    scaled = judge_paired([measured("c", *case, min_effect=MIN_EFFECT, unit=0.01 * factor) for case in suite])
    assert [verdict.kind for verdict in scaled] == [verdict.kind for verdict in plain]
    assert [verdict.p_value for verdict in scaled] == [verdict.p_value for verdict in plain]


@settings(deadline=None)
@given(confirmation=TWELVE, more=st.floats(0, 0.2))
def test_a_regression_stays_one_when_it_gets_worse(confirmation: list[float], more: float) -> None:
    kinds = [
        judge(measured("c", SLOWER, [ratio + extra for ratio in confirmation], min_effect=MIN_EFFECT)).kind
        for extra in (0, more)
    ]
    assert kinds[0] != "regressed" or kinds[1] == "regressed"


def test_equal_times_are_unchanged() -> None:
    verdict = judge(measured("c", [0.0] * 4))
    assert (verdict.kind, verdict.effect, verdict.interval) == ("unchanged", 0, (0, 0))
    assert verdict.detectable == pytest.approx(0.02)


def test_verdicts_keep_the_order_of_their_cases_and_are_strict_json() -> None:
    suite = [
        measured("a", STEADY),
        measured("b", SLOWER, spread_of(0.05, 0.01)),
        PairedCase("c", pairs(SLOWER)),
    ]
    verdicts = judge_paired(suite)
    assert [verdict.case for verdict in verdicts] == ["a", "b", "c"]
    assert {verdict.mode for verdict in verdicts} == {"paired"}
    for verdict in verdicts:
        assert json.loads(json.dumps(verdict.as_dict(), allow_nan=False))["kind"] == verdict.kind
    assert judge_paired([]) == ()


@pytest.mark.parametrize("time_s", [nan, inf, 0.0, -1.0])
def test_what_is_no_time_is_refused(time_s: float) -> None:
    for sides in ((time_s, 0.01), (0.01, time_s)):
        with pytest.raises(UsageError, match="launches of a pair hold"):
            Pair(*sides)


def test_another_number_of_pairs_than_was_decided_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^c: its screening has 3 pairs, and the test needs 4"):
        PairedCase("c", pairs(SLOWER[:3]))
    with pytest.raises(UsageError, match=r"^c: its confirmation has 11 pairs, and the test needs 12"):
        PairedCase("c", pairs(SLOWER), pairs([0.05] * 11))
    with pytest.raises(UsageError, match=r"^c: its null control has 4 pairs, and the test needs 12"):
        PairedCase("c", pairs(SLOWER), pairs([0.05] * 12), pairs(STEADY))
    with pytest.raises(UsageError, match="no suspicion"):
        PairedCase("c", pairs(STEADY), pairs([0.05] * 12))
    with pytest.raises(UsageError, match=r"^min_effect is 0"):
        PairedCase("c", pairs(STEADY), min_effect=0)


@pytest.mark.parametrize(
    ("deviation", "pair_s", "size"),
    [
        (0.01, 5.0, 1),
        (0.06, 5.0, 3),  # (4 * 0.069 / 0.0488)^2 = 32 pairs
        (0.30, 5.0, 4),
        (0.30, 15.0, 2),  # 480 s have room for 32 pairs of 15 s
        (0.30, 100.0, 1),
    ],
)
def test_noisier_pairs_are_more_as_far_as_there_is_time(deviation: float, pair_s: float, size: int) -> None:
    assert pairs_a_datum(pairs([deviation, -deviation] * 2), pair_s) == size
    assert len(confirmation_order(size)) == 12 * size


def test_a_datum_is_the_mean_of_its_pairs_and_the_test_is_on_data() -> None:
    ratios = [0.03 + (0.1 if number % 2 else -0.1) for number in range(48)]
    assert [datum.log_ratio for datum in data(pairs(ratios))] == pytest.approx([0.03] * 12)
    assert data(pairs(ratios[:12])) == pairs(ratios[:12])
    verdict = judge(measured("case", SLOWER, ratios))
    assert (verdict.kind, verdict.used, verdict.p_value) == ("regressed", 48, 1 / 4096)
    assert judge(measured("case", SLOWER, ratios[:12])).kind == "inconclusive"


@pytest.mark.parametrize("count", [1, 11, 13, 60])
def test_other_numbers_of_pairs_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match="needs 12 or 24 or 36 or 48"):
        measured("case", SLOWER, [0.05] * count)
