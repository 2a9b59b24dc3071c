"""When a change is believed: second looks, fastest rounds, and what the machine did meanwhile."""

from collections.abc import Mapping
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.compare.measured_case import bound_of, yardstick_of
from pytest_gpt_dist.compare.session_times import LaunchTimes, SessionTimes
from pytest_gpt_dist.compare.sessions import FRESH_LAUNCHES, is_suspect, judge_stored
from pytest_gpt_dist.compare.statistics import winsorized
from pytest_gpt_dist.compare.verdict import Verdict

STEADY = [SessionTimes.of([0.01])] * 5
READING = {"read_s": 1.0}


def on_machine(
    seconds: float, read_s: float, launches: int = 1, taken: float = 0.0, fresh: SessionTimes | None = None
) -> SessionTimes:
    yardstick = {"read_s": log(read_s), "product_s": log(0.005)}
    return SessionTimes((LaunchTimes(seconds, seconds, yardstick),) * launches, taken, fresh)


def judged(now: SessionTimes, earlier: list[SessionTimes], bound: Mapping[str, float] = READING) -> Verdict:
    return judge_stored("c", now, earlier, cases=1, bound=bound)


def test_a_change_that_every_fresh_launch_shows_is_one() -> None:
    verdict = judged(SessionTimes.of([0.012], [0.012, 0.0125, 0.012, 0.013]), STEADY)
    assert (verdict.kind, verdict.fresh_launches) == ("regressed", FRESH_LAUNCHES)
    assert verdict.effect == pytest.approx(0.2375, abs=0.002)  # of the fresh launches alone


def test_a_single_fresh_launch_that_is_as_ever_ends_the_alarm() -> None:
    verdict = judged(SessionTimes.of([0.013], [0.013, 0.0101, 0.013, 0.013]), STEADY)
    assert verdict.kind == "inconclusive"
    assert "3 of 4 fresh launches alone are beyond" in verdict.why


def test_fresh_launches_that_are_all_as_ever_say_unchanged() -> None:
    earlier = [SessionTimes.of([0.01 + number / 1e6]) for number in range(20)]
    assert judged(SessionTimes.of([0.015], [0.01] * FRESH_LAUNCHES), earlier).kind == "unchanged"


def test_a_second_look_that_was_not_finished_decides_nothing() -> None:
    verdict = judged(SessionTimes.of([0.02], [0.02] * (FRESH_LAUNCHES - 1)), STEADY)
    assert (verdict.kind, "was not finished" in verdict.why) == ("inconclusive", True)


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5])
def test_two_earlier_sessions_and_no_second_look_show_no_change(factor: float) -> None:
    verdict = judged(SessionTimes.of([0.01 * factor]), STEADY[:2])
    assert verdict.kind == "inconclusive"
    assert "without a second look" in verdict.why
    assert judged(SessionTimes.of([0.01 * factor]), STEADY).kind in ("regressed", "improved")


def test_eight_launches_a_side_that_lie_apart_speak_for_themselves() -> None:
    before = on_machine(0.01, 0.004, launches=8)
    assert judged(on_machine(0.015, 0.004, launches=8), [before]).kind == "regressed"
    overlapping = SessionTimes.of([*[0.016] * 7, 0.0099])
    assert judged(overlapping, [before]).kind == "inconclusive"
    assert judged(on_machine(0.015, 0.004, launches=3), [before]).kind == "inconclusive"


def test_fastest_rounds_that_are_as_ever_make_a_slow_launch_the_machines() -> None:
    partly = SessionTimes((LaunchTimes(0.017, 0.0101),))
    verdict = judged(partly, STEADY)
    assert verdict.kind == "inconclusive"
    assert "typical rounds 70.0% slower, the fastest 1.0% slower" in verdict.why
    assert not is_suspect(partly, STEADY, cases=1)
    assert is_suspect(SessionTimes.of([0.017]), STEADY, cases=1)


def test_a_change_that_the_yardstick_shares_is_the_machines() -> None:
    earlier = [on_machine(0.01, 0.004)] * 5
    verdict = judged(on_machine(0.013, 0.0052), earlier)
    assert verdict.kind == "inconclusive"
    assert verdict.machine == pytest.approx(0.3)
    assert verdict.why.endswith("; the machine was 30.0% slower, the case by +0.0% beyond that")
    assert judged(on_machine(0.013, 0.004), earlier).kind == "regressed"


SWINGS = (0.5, 1.0, 1.3, 2.0, 0.8, 1.6)


def test_where_the_yardstick_explains_the_swings_times_are_held_against_it() -> None:
    earlier = [on_machine(0.01 * swing, 0.004 * swing) for swing in SWINGS]
    fresh = on_machine(0.012, 0.004, launches=4)
    slower = on_machine(0.012, 0.004, fresh=fresh)
    assert judged(slower, earlier).kind == "regressed"
    assert judged(slower, earlier).effect == pytest.approx(0.2)
    assert judged(slower, earlier, {}).kind == "inconclusive"  # without a yardstick
    assert judged(on_machine(0.02, 0.008), earlier).effect == pytest.approx(0)


def test_where_the_yardstick_swings_by_itself_times_stand_alone() -> None:
    earlier = [on_machine(0.01, 0.004 * swing) for swing in SWINGS]
    assert judged(on_machine(0.012, 0.0046), earlier).effect == pytest.approx(0.2)


def test_a_quiet_hour_is_no_improvement() -> None:
    assert judged(on_machine(0.007, 0.0028), [on_machine(0.01, 0.004)] * 3).kind == "inconclusive"
    assert judged(on_machine(0.007, 0.004), [on_machine(0.01, 0.004)] * 3).kind == "improved"


def test_what_the_case_is_not_bound_by_does_not_matter() -> None:
    earlier = [on_machine(0.01, 0.004)] * 5
    assert judged(on_machine(0.013, 0.0052), earlier, {"product_s": 1.0}).kind == "regressed"


def test_sessions_without_a_yardstick_are_compared_without() -> None:
    verdict = judged(on_machine(0.013, 0.0052), STEADY)
    assert (verdict.kind, verdict.machine) == ("regressed", None)


@pytest.mark.parametrize(("now_taken", "then_taken"), [(0.3, 0.0), (0.0, 0.45)])
def test_what_others_took_widens_what_noise_may_be(now_taken: float, then_taken: float) -> None:
    now = on_machine(0.013, 0.004, taken=now_taken)
    earlier = [on_machine(0.01, 0.004, taken=then_taken)] * 3
    assert judged(now, earlier).kind == "inconclusive"
    assert judged(on_machine(0.013, 0.004), [on_machine(0.01, 0.004)] * 3).kind == "regressed"


def test_of_an_earlier_session_its_second_look_counts() -> None:
    odd = SessionTimes.of([0.02], [0.01] * FRESH_LAUNCHES)
    assert judged(SessionTimes.of([0.01]), [odd] * 3).effect == pytest.approx(0)


def test_one_slow_hour_among_earlier_sessions_hides_no_slowdown() -> None:
    quiet = [SessionTimes.of([0.01 * (1 + number / 500)]) for number in range(-5, 5)]
    now = SessionTimes.of([0.012], [0.012] * FRESH_LAUNCHES)
    assert judged(now, [*quiet, SessionTimes.of([0.016])]).kind == "regressed"


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=30))
def test_drawing_in_moves_only_what_lies_far_off(logs: list[float]) -> None:
    drawn = winsorized(logs)
    middle = sorted(logs)[len(logs) // 2]
    assert all(
        abs(new - middle) <= abs(old - middle) + 1e-9 or new == old
        for old, new in zip(logs, drawn, strict=True)
    )
    assert winsorized([0.0, 0.001, 0.002, 0.5])[3] < 0.1
    assert winsorized([0.0, 5.0, 9.0]) == [0.0, 5.0, 9.0]


@pytest.mark.parametrize(
    ("info", "bound"),
    [
        ({}, {"read_s": 0.5, "product_s": 0.5, "all_reduce_s": 0.0}),
        ({"time_lost": None}, {"read_s": 0.5, "product_s": 0.5, "all_reduce_s": 0.0}),
        ({"time_lost": {"communication": 0.5}}, {"read_s": 0.25, "product_s": 0.25, "all_reduce_s": 0.5}),
    ],
)
def test_a_case_is_like_the_pieces_of_the_yardstick_that_its_time_goes_into(
    info: dict[str, object], bound: dict[str, float]
) -> None:
    assert bound_of(info) == bound


def test_saved_readings_become_logs_of_medians_by_launch() -> None:
    assert yardstick_of({"read_s": [0.004, 0.004, 0.1]}) == {"read_s": pytest.approx(log(0.004))}
    assert yardstick_of(None) == {}
    launches = [LaunchTimes(1.0, 1.0, {"read_s": log(0.004), "product_s": 0.0})] * 2
    swung = LaunchTimes(1.0, 1.0, {"read_s": log(0.016)})
    assert SessionTimes((*launches[:1], swung)).yardstick == {"read_s": pytest.approx(log(0.008))}
    assert SessionTimes((swung, LaunchTimes(1.0, 1.0))).yardstick == {}


def test_each_fresh_launch_is_held_against_its_own_yardstick() -> None:
    earlier = [on_machine(0.01 * swing, 0.004 * swing) for swing in SWINGS]
    launches = [on_machine(0.012 * swing, 0.004 * swing).launches[0] for swing in (0.5, 2.0, 1.0, 1.0)]
    now = on_machine(0.012, 0.004, fresh=SessionTimes(tuple(launches)))
    assert judged(now, earlier).kind == "regressed"
