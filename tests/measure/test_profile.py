"""What profiled rounds of several ranks come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.measure.profile import (
    MOST_OPERATORS,
    OperatorTime,
    RankProfile,
    operator_shares,
    profile_entry,
)

OPERATORS = st.lists(
    st.builds(
        OperatorTime,
        st.sampled_from(["prefill", "decode"]),
        st.sampled_from(["mm", "add", "copy"]),
        st.integers(1, 9),
        st.floats(0, 10),
        st.just(0.0),
    ),
    max_size=6,
    unique_by=lambda each: (each.phase, each.name),
)


def on_rank(*operators: OperatorTime) -> RankProfile:
    return RankProfile(1.0, "folder/rank0.pt.trace.json.gz", operators)


@given(st.lists(OPERATORS.map(lambda found: on_rank(*found)), min_size=1, max_size=3))
def test_shares_add_up_and_nothing_is_lost(profiles: list[RankProfile]) -> None:
    shares = operator_shares(profiles)
    told = [each for profile in profiles for each in profile.operators]
    assert sum(map(sum, (each.seconds for each in shares))) == pytest.approx(
        sum(each.host_s for each in told)
    )
    assert sum(each.calls for each in shares) == sum(each.calls for each in told)
    if any(each.host_s for each in told):
        assert sum(each.share for each in shares) == pytest.approx(1)
    assert [each.share for each in shares] == sorted((each.share for each in shares), reverse=True)


def test_where_kernels_took_time_the_host_does_not_count() -> None:
    (first, second) = operator_shares(
        [on_rank(OperatorTime("decode", "mm", 1, 9.0, 0.5), OperatorTime("decode", "launch", 1, 9.0, 0.0))]
    )
    assert (first.name, first.share, first.seconds) == ("mm", 1.0, (0.5,))
    assert second.share == 0.0


def test_the_largest_operators_are_saved_and_phases_count_all_of_them() -> None:
    many = [
        OperatorTime("decode", f"op{number}", 1, 1.0 + number, 0.0) for number in range(2 * MOST_OPERATORS)
    ]
    saved = profile_entry([on_rank(*many), on_rank(OperatorTime("prefill", "mm", 2, 1.0, 0.0))])
    assert [each["operator"] for each in saved["operators"]][:2] == ["op59", "op58"]
    assert len(saved["operators"]) == MOST_OPERATORS
    assert sum(saved["phases"].values()) == pytest.approx(1)
    assert list(saved["phases"]) == ["decode", "prefill"]
