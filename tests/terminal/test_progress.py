"""How far a session has come, and how long the rest of it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.terminal.eta import LATEST, Standing, in_words

SPANS = st.floats(0, 1e5)


@given(st.lists(SPANS, min_size=1, max_size=30), st.integers(1, 50), st.integers(0, 50), SPANS)
def test_what_is_left_is_between_what_the_quickest_and_the_slowest_case_would_take(
    spent_s: list[float], number: int, later: int, running_s: float
) -> None:
    left_s = Standing(number, number + later, running_s, spent_s).left_s
    assert left_s is not None
    quickest_s = min(spent_s) * later + max(0, min(spent_s) - running_s)
    slowest_s = max(spent_s) * (later + 1)
    assert quickest_s - 1e-6 <= left_s <= slowest_s + 1e-6


def test_the_latest_cases_tell() -> None:
    spent_s = [1.0] * 100 + [50.0] * LATEST
    assert Standing(2, 3, 20, spent_s).left_s == 30 + 50


def test_a_case_that_takes_longer_than_others_did_leaves_those_after_it() -> None:
    assert Standing(2, 4, 1000, [10.0]).left_s == 20


def test_there_is_no_estimate_before_a_case_has_ended() -> None:
    assert Standing(1, 9, 30, []).describe() == "case 1 of 9"


def test_the_time_left_stands_behind_the_count() -> None:
    assert Standing(3, 9, 0, [20.0, 20.0]).describe() == "case 3 of 9, about 2 min left"


def test_the_only_case_is_not_counted() -> None:
    assert Standing(1, 1, 3, []).describe() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "10 s"),
        (10, "10 s"),
        (10.1, "20 s"),
        (50, "50 s"),
        (50.1, "1 min"),
        (89, "1 min"),
        (91, "2 min"),
        (5300, "88 min"),
        (5400, "1.5 h"),
        (36_000, "10.0 h"),
    ],
)
def test_a_span_is_said_roughly(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
