"""A session against earlier ones: the prediction interval, by hand and by its properties."""

import json
from math import exp, expm1, inf, log, log1p, nan, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.compare.session_times import SessionTimes
from pytest_gpt_dist.compare.sessions import judge_stored, no_baseline
from pytest_gpt_dist.compare.verdict import Verdict
from pytest_gpt_dist.errors import UsageError

MIN_EFFECT = 0.0213  # on no multiple of the drawn logs, so that rounding decides nothing
LOGS = st.integers(-150, 150).map(lambda thousandths: thousandths / 1000)
SESSION = st.lists(LOGS, min_size=1, max_size=3)
SESSIONS = st.lists(SESSION, min_size=1, max_size=12)


def times(logs: list[float]) -> list[float]:
    return [0.01 * exp(value) for value in logs]


def sessions_of(count: int, spread: float) -> list[list[float]]:
    """An even number of sessions with a mean log of log(0.01) and a variance of exactly ``spread``²."""
    half = spread * sqrt((count - 1) / count)
    return [times([half if index % 2 else -half]) for index in range(count)]


def judged(shift: float, baselines: list[list[float]], cases: int = 1) -> Verdict:
    return stored(times([shift]), baselines, cases=cases)


def stored(
    now: list[float], baselines: list[list[float]], *, cases: int = 1, min_effect: float = 0.02
) -> Verdict:
    """The verdict on launches of which a second look shows the same."""
    mine = SessionTimes.of(now, now * 4)
    return judge_stored("c", mine, list(map(SessionTimes.of, baselines)), cases=cases, min_effect=min_effect)


def half_width(verdict: Verdict) -> float:
    assert verdict.interval is not None
    assert verdict.effect is not None
    return log1p(verdict.interval[1]) - log1p(verdict.effect)


def test_one_session_rests_on_the_prior_alone() -> None:
    verdict = judged(0, [[0.01]])
    assert half_width(verdict) == pytest.approx(2.131847 * 0.03 * sqrt(2), rel=1e-5)
    assert verdict.confidence == pytest.approx(0.90)
    assert verdict.kind == "inconclusive"
    assert "ten resolve" in verdict.why


def test_ten_sessions_weigh_nine_degrees_against_the_priors_four() -> None:
    verdict = judged(0, sessions_of(10, 0.01))
    expected = 1.770933 * sqrt((4 * 0.03**2 + 9 * 0.01**2) / 13) * sqrt(1.1)
    assert half_width(verdict) == pytest.approx(expected, rel=1e-5)


def test_over_nine_cases_one_session_resolves_19_percent_and_ten_6() -> None:
    assert half_width(judged(0, [[0.01]], cases=9)) == pytest.approx(0.19, abs=0.005)
    assert judged(0, sessions_of(10, 0.01), cases=9).detectable == pytest.approx(0.06, abs=0.005)


def test_regressed_is_beyond_the_limit_and_improved_its_mirror() -> None:
    baselines = sessions_of(10, 0.01)
    limit = half_width(judged(0, baselines))
    for shift, kind in ((1.001, "regressed"), (-1.001, "improved"), (0.999, "inconclusive")):
        assert judged(shift * limit, baselines).kind == kind
    assert judged(1.001 * limit, baselines).fails
    assert not judged(-1.001 * limit, baselines).fails


def test_the_detectable_effect_is_where_regressed_begins() -> None:
    baselines = sessions_of(10, 0.01)
    detectable = judged(0, baselines).detectable
    assert detectable is not None
    assert judged(log1p(detectable) + 1e-9, baselines).kind == "regressed"
    assert judged(log1p(detectable) - 1e-9, baselines).kind != "regressed"


def test_a_significant_change_below_the_smallest_effect_is_no_regression() -> None:
    baselines = sessions_of(10, 0.0)
    limit = half_width(judged(0, baselines))
    verdict = stored(times([limit * 1.01]), baselines, cases=1, min_effect=0.05)
    assert verdict.kind == "unchanged"
    assert verdict.detectable == pytest.approx(0.05)


def test_unchanged_has_its_upper_bound_below_twice_the_smallest_effect() -> None:
    baselines = sessions_of(10, 0.01)
    bound = half_width(judged(0, baselines))  # one case: the same level
    room = log1p(2 * 0.02) - bound
    assert judged(room - 1e-6, baselines, cases=9).kind == "unchanged"
    assert judged(room + 1e-6, baselines, cases=9).kind == "inconclusive"


def test_more_cases_widen_the_interval() -> None:
    widths = [half_width(judged(0, sessions_of(4, 0.02), cases)) for cases in (1, 9, 50)]
    assert widths == sorted(widths)
    assert len(set(widths)) == 3


def test_launches_of_a_session_are_one_datum() -> None:
    once = stored([0.02], [[0.01], [0.011]], cases=3)
    often = stored([0.02] * 5, [[0.01] * 7, [0.011] * 2], cases=3)
    assert (often.kind, often.used) == (once.kind, 2)
    assert often.interval == pytest.approx(once.interval)


@settings(deadline=None)
@given(now=SESSION, baselines=SESSIONS, cases=st.integers(1, 20), factor=st.floats(1e-3, 1e3))
def test_a_common_factor_changes_nothing(
    now: list[float], baselines: list[list[float]], cases: int, factor: float
) -> None:
    plain = stored(times(now), list(map(times, baselines)), cases=cases, min_effect=MIN_EFFECT)
    scaled = stored(
        [factor * value for value in times(now)],
        [[factor * value for value in times(session)] for session in baselines],
        cases=cases,
        min_effect=MIN_EFFECT,
    )
    assert scaled.kind == plain.kind
    assert scaled.effect == pytest.approx(plain.effect, abs=1e-9)
    assert scaled.interval == pytest.approx(plain.interval, abs=1e-9)


@settings(deadline=None)
@given(now=SESSION, baselines=SESSIONS, cases=st.integers(1, 20))
def test_inverse_times_mirror_regressed_and_improved(
    now: list[float], baselines: list[list[float]], cases: int
) -> None:
    def kind(sign: int) -> str:
        mirrored = [[sign * value for value in session] for session in baselines]
        return stored(
            times([sign * value for value in now]),
            list(map(times, mirrored)),
            cases=cases,
            min_effect=MIN_EFFECT,
        ).kind

    assert (kind(1) == "regressed") == (kind(-1) == "improved")
    assert (kind(1) == "improved") == (kind(-1) == "regressed")


@settings(deadline=None)
@given(now=SESSION, baselines=SESSIONS, more=st.floats(0, 1))
def test_a_regression_stays_one_when_it_gets_worse(
    now: list[float], baselines: list[list[float]], more: float
) -> None:
    order = ("improved", "unchanged", "inconclusive", "regressed")
    kinds = [
        stored(
            times([value + extra for value in now]),
            list(map(times, baselines)),
            cases=9,
            min_effect=MIN_EFFECT,
        ).kind
        for extra in (0, more)
    ]
    assert order.index(kinds[0]) <= order.index(kinds[1])


def test_zero_spread_still_has_the_priors() -> None:
    verdict = judged(0, [[0.01]] * 3)
    assert half_width(verdict) == pytest.approx(1.943180 * sqrt(4 * 0.03**2 / 6) * sqrt(4 / 3), rel=1e-5)


def test_an_inconclusive_says_how_many_sessions_it_would_take() -> None:
    # 2% slower, sessions that agree: the prior has to be outweighed
    verdict = judged(0.019, sessions_of(4, 0.005), cases=9)
    assert verdict.kind == "inconclusive"
    assert verdict.why == "it would take about 30 earlier sessions instead of 4"
    assert judged(0.019, sessions_of(20, 0.005), cases=9).kind == "inconclusive"
    assert judged(0.019, sessions_of(30, 0.005), cases=9).kind == "unchanged"
    assert verdict.needed_launches is None


def test_an_inconclusive_says_how_many_launches_it_would_take() -> None:
    noise = 0.05
    half = noise / sqrt(2)
    baselines = [times([centre - half, centre + half]) for centre in (-0.035, 0.035) * 6]
    now, earlier = SessionTimes.of(times([0.005 - half, 0.005 + half])), map(SessionTimes.of, baselines)
    verdict = judge_stored("c", now, list(earlier), cases=1)
    assert verdict.kind == "inconclusive"
    # between 0.035² · 12/11, of which launches are 0.05² / 2; the bound is 1.75305 · s · √(13/12), and there is
    # room for log(1.04) - 0.005: s² may be 3.517e-4, so 0.05² / n at most 6.6e-5
    assert verdict.needed_launches == 38
    assert verdict.why == "it would take 38 launches in every session"


def test_launches_are_not_the_remedy_where_sessions_differ() -> None:
    baselines = [times([centre, centre]) for centre in (-0.05, 0.05) * 6]
    verdict = stored(times([0.005, 0.005]), baselines, cases=1)
    assert verdict.kind == "inconclusive"
    assert verdict.needed_launches is None
    assert verdict.why.endswith("measure both sides in one session")


def test_sessions_that_differ_by_more_than_assumed_are_named_beside_a_regression() -> None:
    assert judged(0.5, sessions_of(10, 0.05)).why.endswith("; sessions differ by 5.0%, above the 3% assumed")
    assert judged(0.5, sessions_of(10, 0.02)).why.endswith("leave to noise, and beyond 2.0%")
    assert judged(0.5, [[0.01]]).why.endswith("1 earlier session leaves to noise, and beyond 2.0%")


def test_nothing_to_compare_with_is_said() -> None:
    verdict = stored([0.01, 0.04], [], cases=9)
    assert (verdict.kind, verdict.why) == ("no-baseline", "no saved session has this case")
    assert verdict.after_s == pytest.approx(0.02)
    assert (verdict.before_s, verdict.effect, verdict.interval, verdict.detectable) == (None,) * 4
    assert not verdict.fails
    assert (
        no_baseline("c", SessionTimes.of([0.01]), ["driver", "torch"]).why
        == "saved sessions differ in driver, torch"
    )


def test_times_are_geometric_means_in_seconds_per_token() -> None:
    verdict = stored([0.02], [[0.01], [0.04]], cases=1)
    assert verdict.before_s == pytest.approx(0.02)
    assert verdict.after_s == pytest.approx(0.02)
    assert verdict.effect == pytest.approx(0)


@pytest.mark.parametrize("baselines", [[[0.01], []], [[0.01], [0.0]], [[nan]], [[inf]]])
def test_a_baseline_that_holds_no_time_is_refused(baselines: list[list[float]]) -> None:
    with pytest.raises(UsageError, match="launches of a session hold"):
        stored([0.01], baselines, cases=1)


@pytest.mark.parametrize("now", [[], [nan], [-0.01]])
def test_a_session_that_holds_no_time_is_refused(now: list[float]) -> None:
    for baselines in ([[0.01]], []):
        with pytest.raises(UsageError, match="launches of a session hold"):
            stored(now, baselines, cases=1)


@pytest.mark.parametrize("min_effect", [0, -0.02, 1, 2, nan])
def test_a_smallest_effect_that_is_no_share_is_refused(min_effect: float) -> None:
    with pytest.raises(UsageError, match=r"^min_effect is .*above 0 and below 1"):
        stored([0.01], [[0.01]], cases=1, min_effect=min_effect)


def test_a_suite_has_at_least_one_case() -> None:
    with pytest.raises(UsageError, match=r"^cases is 0"):
        stored([0.01], [[0.01]], cases=0)


@pytest.mark.parametrize("baselines", [[], [[0.01]], [[0.01], [0.02]]])
def test_a_verdict_is_strict_json(baselines: list[list[float]]) -> None:
    verdict = stored([0.02], baselines, cases=9)
    entries = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert entries.pop("interval") == (list(verdict.interval) if verdict.interval else None)
    assert all(getattr(verdict, key) == value for key, value in entries.items())
    known_from_the_mode = {"label", "rate", "remedy"}
    assert set(entries) | {"interval"} | known_from_the_mode == set(Verdict.__dataclass_fields__)


def test_effects_are_relative_and_not_logarithms() -> None:
    verdict = stored([0.02], [[0.01]], cases=1)
    assert verdict.effect == pytest.approx(1.0)
    assert verdict.interval is not None
    assert verdict.interval[0] == pytest.approx(expm1(log(2) - 2.131847 * 0.03 * sqrt(2)))
