"""Which requests are worked on together."""

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.batching import (
    Scaling,
    padded_tokens,
    padding_fraction,
    plan,
    prompts_in_parts,
)
from pytest_gpt_dist.inference.engines import Batch, Request
from pytest_gpt_dist.parallel import Layout


def requests(count: int) -> list[Request]:
    return [Request(index, (1,) * (1 + index % 5), 1 + index % 3) for index in range(count)]


@given(
    st.integers(0, 100),
    st.builds(Layout, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 20),
    st.sampled_from(["weak", "strong"]),
    st.one_of(st.none(), st.integers(1, 9)),
)
def test_every_request_is_planned_once(
    count: int, layout: Layout, batch_size: int, scaling: Literal["weak", "strong"], microbatches: int | None
) -> None:
    replicas = plan(requests(count), layout, batch_size, scaling, microbatches)
    assert len(replicas) == layout.dp
    batches = [batch for replica in replicas for batch in replica]
    assert sorted(r.index for batch in batches for r in batch.requests) == list(range(count))
    for batch in batches:
        sizes = [len(microbatch.requests) for microbatch in batch.microbatches]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == min(microbatches or layout.pp, sum(sizes))


def rows(scaling: Literal["weak", "strong"], layout: Layout, batch_size: int = 4) -> list[list[int]]:
    replicas = plan(requests(32), layout, batch_size, scaling)
    return [[len(batch.requests) for batch in replica] for replica in replicas]


def test_weak_scaling_counts_rows_per_device() -> None:
    assert rows("weak", Layout()) == [[4] * 8]
    assert rows("weak", Layout(dp=4)) == [[4, 4]] * 4
    assert rows("weak", Layout(pp=2, tp=2)) == [[16, 16]]


def test_strong_scaling_counts_rows_in_the_world() -> None:
    assert rows("strong", Layout(pp=2, tp=2)) == [[4] * 8]
    assert rows("strong", Layout(dp=4)) == [[1] * 8] * 4
    assert sorted(rows("strong", Layout(dp=3))) == [[2] * 5, [2] * 5 + [1], [2] * 5 + [1]]


def test_a_batch_runs_as_long_as_its_microbatches_want() -> None:
    ((batch,),) = plan([Request(0, (1,), 3), Request(1, (1,), 9)], Layout(pp=2), 4)
    assert [microbatch.steps for microbatch in batch.microbatches] == [3, 9]
    assert batch.passes == batch.choices == 12


def parts(layout: Layout, rows: int, prompt_tokens: int, device: str = "cpu") -> list[int]:
    ((batch,),) = prompts_in_parts(
        plan([Request(index, (1,) * prompt_tokens, 3) for index in range(rows)], layout, rows),
        layout,
        device,
    )
    assert batch.passes == batch.choices + sum(len(micro.rows) - 1 for micro in batch.microbatches)
    return [micro.parts for micro in batch.microbatches]


def test_prompts_pass_through_a_pipeline_in_parts() -> None:
    assert parts(Layout(pp=2), 8, 64) == [4, 4]
    assert parts(Layout(pp=2), 8, 32) == [2, 2]
    assert parts(Layout(pp=2), 5, 100) == [3, 2]
    assert parts(Layout(pp=2), 100, 1000) == [4, 4]
    assert parts(Layout(pp=4), 4, 10) == [1, 1, 1, 1]


def test_prompts_pass_whole_where_parts_gain_nothing() -> None:
    assert parts(Layout(tp=2), 8, 64) == [1]
    assert parts(Layout(pp=2, tp=2), 8, 64) == [1, 1]
    assert parts(Layout(pp=2), 8, 64, "cuda") == [1, 1]


LONGEST, MOST_NEW = 20, 9
LAYOUTS = st.builds(Layout, st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
SCALINGS: st.SearchStrategy[Scaling] = st.sampled_from(["weak", "strong"])
UNEVEN = st.lists(st.tuples(st.integers(1, LONGEST), st.integers(1, MOST_NEW)), max_size=40).map(
    lambda lengths: [Request(index, (1,) * prompt, new) for index, (prompt, new) in enumerate(lengths)]
)


def indices(batches: Sequence[Batch]) -> list[int]:
    return [request.index for batch in batches for request in batch.requests]


@given(UNEVEN, LAYOUTS, st.integers(1, 20), SCALINGS)
def test_by_length_each_replica_works_on_its_requests_from_short_to_long(
    made: list[Request], layout: Layout, batch_size: int, scaling: Scaling
) -> None:
    in_order = plan(made, layout, batch_size, scaling)
    by_length = plan(made, layout, batch_size, scaling, batching="by-length")
    for before, after in zip(in_order, by_length, strict=True):
        assert [len(batch.requests) for batch in after] == [len(batch.requests) for batch in before]
        worked_on = [made[index] for index in indices(after)]
        assert worked_on == sorted(
            (made[index] for index in indices(before)),
            key=lambda request: (len(request.prompt), request.new_tokens, request.index),
        )


@given(UNEVEN, LAYOUTS, st.integers(1, 20), SCALINGS, st.integers(LONGEST + MOST_NEW, 300))
def test_a_batch_is_as_large_as_its_rows_and_its_budget_allow_and_no_larger(
    made: list[Request], layout: Layout, batch_size: int, scaling: Scaling, share: int
) -> None:
    if scaling == "weak":
        budget, allowed = share, share * layout.pp * layout.tp
        rows = batch_size * layout.pp * layout.tp
    else:
        budget, allowed = share * layout.dp, share
        rows = -(-batch_size // layout.dp)
    replicas = plan(made, layout, batch_size, scaling, batching="token-budget", token_budget=budget)
    assert sorted(index for batches in replicas for index in indices(batches)) == list(range(len(made)))
    for batches in replicas:
        for batch in batches:
            assert len(batch.requests) <= rows
            assert padded_tokens(batch.requests) <= allowed
        for batch, after in pairwise(batches):
            full = len(batch.requests) == rows
            assert full or padded_tokens([*batch.requests, after.requests[0]]) > allowed


def test_a_row_of_a_batch_is_as_long_as_its_longest_prompt_and_its_most_new_tokens() -> None:
    assert padded_tokens([Request(0, (1,) * 7, 2), Request(1, (1,), 5)]) == 2 * (7 + 5)


@given(st.lists(st.lists(st.integers(1, LONGEST), min_size=3, max_size=3), min_size=1, max_size=8))
def test_sorting_full_batches_never_pads_more(lengths: list[list[int]]) -> None:
    made = [Request(index, (1,) * length, 1) for index, length in enumerate(chain.from_iterable(lengths))]
    in_order, by_length = (
        padding_fraction(plan(made, Layout(), 3, batching=batching)) for batching in ("in-order", "by-length")
    )
    assert 0 <= by_length <= in_order < 1


def test_prompts_are_padded_to_the_longest_of_their_microbatch() -> None:
    made = [Request(index, (1,) * length, 1) for index, length in enumerate([6, 1, 6, 1])]
    assert padding_fraction(plan(made, Layout(), 4)) == 10 / 24
    assert padding_fraction(plan(made, Layout(pp=2), 2, batching="by-length")) == 0
    assert padding_fraction(plan([], Layout(), 4)) == 0


def test_a_budget_is_counted_as_the_batch_size_is() -> None:
    made = [Request(index, (1,) * 6, 4) for index in range(8)]

    def rows_of(layout: Layout, scaling: Scaling) -> list[list[int]]:
        replicas = plan(made, layout, 8, scaling, batching="token-budget", token_budget=20)
        return [[len(batch.requests) for batch in batches] for batches in replicas]

    assert rows_of(Layout(), "weak") == rows_of(Layout(), "strong") == [[2] * 4]
    assert rows_of(Layout(tp=2), "weak") == [[4] * 2]
    assert rows_of(Layout(dp=2), "strong") == [[1] * 4] * 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plan([], Layout(), 0), "batch size 0"),
        (lambda: plan([], Layout(), 1, microbatches=0), "microbatches 0"),
        (
            lambda: plan(
                [Request(3, (1,) * 9, 2)], Layout(dp=2), 4, "strong", batching="token-budget", token_budget=21
            ),
            "request 3: 9 prompt tokens and 2 new ones are more than the 10 that the token budget leaves a batch",
        ),
        (lambda: Request(3, (), 1), "request 3: its prompt has no tokens"),
        (lambda: Request(3, (1,), 0), "request 3: new_tokens is 0"),
    ],
)
def test_what_cannot_be_planned_is_one_line(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()
