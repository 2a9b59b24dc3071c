"""What a rank must hold and send under a plan that divides data and state."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.training_state import (
    StateBytes,
    StateShapes,
    expected_state,
    greedy_share,
    numel,
    padded_slice,
    slice_rows,
)
from pytest_gpt_dist.parallel.training_traffic import TrainingTraffic, expected_traffic

SHAPES = StateShapes((((5, 3), (5,)), ((4, 3), (4,)), ((7, 3),)), itemsize=4, states=2)
SHAPE = st.lists(st.integers(1, 9), min_size=1, max_size=2).map(tuple)


def divided(state: str, library: str, gpus: int = 2, shards: int = 2) -> ParallelPlan:
    return ParallelPlan(Layout(dp=gpus), shards, state, library)  # type: ignore[arg-type]


@given(shape=SHAPE, shards=st.integers(1, 12))
def test_slices_are_the_whole_and_no_larger_than_padded(shape: tuple[int, ...], shards: int) -> None:
    rows = [slice_rows(shape[0], shards, at) for at in range(shards)]
    assert sum(rows) == shape[0]
    assert max(rows) * numel(shape[1:]) == padded_slice(shape, shards)


@given(shapes=st.lists(SHAPE, max_size=8), shards=st.integers(1, 5))
def test_each_tensor_s_state_is_kept_by_one_rank(shapes: list[tuple[int, ...]], shards: int) -> None:
    shares = [greedy_share(shapes, shards, rank) for rank in range(shards)]
    assert sorted(size for share in shares for size in share) == sorted(map(numel, shapes))


def test_replicas_hold_everything() -> None:
    plan = ParallelPlan(Layout(dp=2))
    assert expected_state(SHAPES, plan, 1) == StateBytes(57 * 4, 57 * 4, 57 * 8 + 5 * 4)


def test_slices_are_padded_but_the_optimizer_s_are_not() -> None:
    plan = divided("parameters", "fsdp2")
    # Of 5 and 7 rows the first rank has 3 and 4, the second one 2 and 3.
    first, second = (expected_state(SHAPES, plan, rank) for rank in range(2))
    assert first == StateBytes(32 * 4, 32 * 4, 32 * 8 + 5 * 4)
    assert second == StateBytes(32 * 4, 32 * 4, 25 * 8 + 5 * 4)


def test_what_is_not_known_is_not_expected() -> None:
    assert expected_state(SHAPES, divided("parameters", "mine"), 0) is None
    assert expected_traffic(SHAPES, divided("parameters", "mine"), 1) is None
    assert expected_state(SHAPES, ParallelPlan(Layout(pp=2)), 0) is None


def test_blocks_are_gathered_twice_where_they_are_let_go() -> None:
    found = {
        state: expected_traffic(SHAPES, divided(state, "fsdp2"), 3) for state in ("gradients", "parameters")
    }
    calls = {state: each.traffic.calls["all_gather"] for state, each in found.items() if each is not None}
    assert calls == {"gradients": 3 * 3, "parameters": 3 * 5}


def test_more_bytes_or_calls_than_expected_are_said() -> None:
    expected = expected_traffic(SHAPES, divided("gradients", "fsdp2"), 1)
    assert expected is not None
    assert expected.problem(expected.traffic) is None
    calls = {**expected.traffic.calls, "all_gather": 4}
    said = expected.problem(TrainingTraffic(calls, expected.traffic.bytes))
    assert said == "4 × all_gather in a step, its plan says 3"
    said = expected.problem(
        TrainingTraffic({"broadcast": 1}, {"broadcast": 24} | dict(expected.traffic.bytes))
    )
    assert said is not None
    assert "broadcast of 24 bytes in a step, its plan says 0" in said or "all_gather" in said
