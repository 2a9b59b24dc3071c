"""Which requests are worked on together."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.engines import Request, plan
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.topology import Layout


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
    assert batch.passes == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plan([], Layout(), 0), "batch size 0"),
        (lambda: plan([], Layout(), 1, microbatches=0), "microbatches 0"),
        (lambda: Request(3, (), 1), "request 3: its prompt has no tokens"),
        (lambda: Request(3, (1,), 0), "request 3: new_tokens is 0"),
    ],
)
def test_what_cannot_be_planned_is_one_line(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UsageError, match=message):
        make()
