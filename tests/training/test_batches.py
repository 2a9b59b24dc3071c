"""Which rows a step takes and who gets them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.training.batches import BatchPlan, Samples, given_samples, plan_batches
from pytest_gpt_dist.training.synthetic import SyntheticSamples

SMALL = st.integers(1, 5)
PLANS = st.builds(BatchPlan, SMALL, SMALL, SMALL)


@given(plan=PLANS, step=st.integers(0, 3))
def test_every_row_of_a_step_goes_to_one_rank_once(plan: BatchPlan, step: int) -> None:
    dealt = [row for rank in range(plan.data_ranks) for rows in plan.of_rank(step, rank) for row in rows]
    assert sorted(dealt) == list(plan.of_world(step))


@given(plan=PLANS)
def test_ranks_have_as_many_microbatches_of_one_size(plan: BatchPlan) -> None:
    for rank in range(plan.data_ranks):
        assert [len(rows) for rows in plan.of_rank(1, rank)] == [plan.micro] * plan.accumulation


@given(plan=PLANS)
def test_a_global_batch_says_the_accumulation(plan: BatchPlan) -> None:
    assert plan_batches(plan.micro, None, plan.rows, plan.data_ranks) == plan
    assert plan_batches(plan.micro, plan.accumulation, plan.rows, plan.data_ranks) == plan


def test_a_global_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="a global batch of 10 rows is no multiple of 4"):
        plan_batches(4, None, 10, 2)
    with pytest.raises(UsageError, match=r"= 8 rows, but the global batch is 10"):
        plan_batches(4, 1, 10, 2)


def test_nobody_says_how_many_microbatches() -> None:
    assert plan_batches(4, None, None, 2).accumulation == 1
    assert plan_batches(4, None, None, 2, at_least=3).accumulation == 3


@given(seed=st.integers(0, 2**63 - 1), width=st.integers(2, 40), period=st.integers(1, 9))
def test_each_step_has_as_many_labels(seed: int, width: int, period: int) -> None:
    samples = SyntheticSamples(seed, 50, width, period)
    first, second = (
        [samples.length(row) for row in range(step * period, (step + 1) * period)] for step in (0, 1)
    )
    assert first == second
    assert all(max(2, width // 2) <= length <= width for length in first)


@given(seed=st.integers(0, 2**63 - 1), width=st.integers(2, 40), pairs=st.integers(1, 5))
def test_more_rows_have_no_more_labels_each(seed: int, width: int, pairs: int) -> None:
    samples = SyntheticSamples(seed, 50, width, 2 * pairs)
    total = sum(samples.length(row) for row in range(2 * pairs))
    assert total == pairs * (max(2, width // 2) + width)


def test_rows_have_unequal_lengths_and_other_tokens_each() -> None:
    samples = SyntheticSamples(0, 1000, 32, 8)
    assert len({samples.length(row) for row in range(8)}) > 3
    assert samples.tokens(0)[:8] != samples.tokens(8)[:8]
    assert samples.tokens(3) == SyntheticSamples(0, 1000, 32, 8).tokens(3)
    assert samples.tokens(3) != SyntheticSamples(1, 1000, 32, 8).tokens(3)


def test_synthetic_tokens_are_fixed_for_ever() -> None:
    assert list(SyntheticSamples(7, 1000, 8, 4).tokens(5))[:4] == [894, 602, 889, 347]


def test_given_samples_begin_again_at_the_end() -> None:
    samples = Samples(((1, 2, 3), (4, 5)))
    assert (samples.width, samples.length(3), samples.tokens(2)) == (3, 2, (1, 2, 3))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "at least one list"),
        ([[1, 2], [1]], r"samples\[1\]: 1 tokens, expected from 2 to"),
        ([[1, 99]], r"samples\[0\]: 99 is no token of a vocabulary of 50"),
        ([[1, True]], r"samples\[0\]: True is no token"),
    ],
)
def test_samples_that_cannot_be_trained_on_are_refused(rows: list[list[int]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given_samples(rows, 50, 8)
