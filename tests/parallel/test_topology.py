"""Layouts, shares, stages and requests: everything is given to exactly one."""

from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference.dispatch import dispatch
from pytest_gpt_dist.parallel import (
    Coordinates,
    Dimensions,
    Layout,
    Span,
    Traffic,
    balance,
    kv_heads,
    parameter_bytes,
    parameter_count,
    split,
    stages,
    traffic,
)

LAYOUTS = [
    Layout(dp, pp, size // dp // pp)
    for size in range(1, 65)
    for dp in range(1, size + 1)
    if size % dp == 0
    for pp in range(1, size // dp + 1)
    if size // dp % pp == 0
]
layouts = st.sampled_from(LAYOUTS)


@st.composite
def dimensions(draw: st.DrawFn) -> Dimensions:
    kv = draw(st.integers(1, 9))
    flags = {
        name: draw(st.booleans())
        for name in (
            "learned_positions",
            "tied",
            "gated",
            "attention_bias",
            "mlp_bias",
            "norm_bias",
            "qk_norm",
        )
    }
    return Dimensions(
        layers=draw(st.integers(64, 90)),
        heads=kv * draw(st.integers(1, 9)),
        kv_heads=kv,
        head_dim=draw(st.integers(1, 128)),
        hidden=draw(st.integers(1, 512)),
        mlp=draw(st.integers(1, 999)),
        vocabulary=draw(st.integers(64, 60000)),
        positions=draw(st.integers(1, 999)),
        **flags,
    )


def partitions(parts: tuple[Span, ...], count: int) -> bool:
    return (
        parts[0].start == 0
        and parts[-1].stop == count
        and all(left.stop == right.start and len(left) >= 0 for left, right in pairwise(parts))
    )


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.id)
def test_ranks_have_a_place_each(layout: Layout) -> None:
    ranks = list(range(layout.world_size))
    assert Layout.parse(layout.id) == layout
    assert [layout.rank(layout.coordinates(rank)) for rank in ranks] == ranks
    assert len({layout.coordinates(rank) for rank in ranks}) == layout.world_size
    for groups, size in (
        (layout.tensor_groups, layout.tp),
        (layout.pipelines, layout.pp),
        (layout.replicas, layout.pp * layout.tp),
    ):
        assert sorted(rank for group in groups for rank in group) == ranks
        assert {len(group) for group in groups} == {size}


def test_tensor_parallel_ranks_are_neighbours() -> None:
    layout = Layout(dp=2, pp=2, tp=2)
    assert layout.tensor_groups == ((0, 1), (2, 3), (4, 5), (6, 7))
    assert layout.pipelines == ((0, 2), (1, 3), (4, 6), (5, 7))
    assert layout.replicas == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert layout.where(3) == "dp0 pp1 tp1 of dp2·pp2·tp2"


@pytest.mark.parametrize(
    "text", ["", "dp2", "dp0pp1tp1", "dp1pp1tp1 ", "pp1dp1tp1", "dp01pp1tp1", "dp٣pp1tp1"]
)
def test_what_is_no_layout_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected the form dp1pp2tp2"):
        Layout.parse(text)


@pytest.mark.parametrize("degree", [0, -1, 1.5, True])
def test_degrees_are_at_least_one(degree: int) -> None:
    with pytest.raises(UsageError, match="tp="):
        Layout(tp=degree)


def test_a_world_has_bounds() -> None:
    assert Layout(dp=4096).world_size == Layout(dp=16, pp=16, tp=16).world_size == 4096
    with pytest.raises(UsageError, match="8,192 ranks are more than the 4,096 there can be"):
        Layout(dp=2, pp=64, tp=64)
    with pytest.raises(
        UsageError, match=r"^dp=1000000000000000000000000000000: expected a whole number from 1"
    ):
        Layout(dp=10**30)


def test_a_rank_outside_the_world_has_no_place() -> None:
    with pytest.raises(ValueError, match="rank 4 is not one of the 4 ranks"):
        Layout(pp=4).coordinates(4)


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_split_gives_everything_once_and_evenly(count: int, parts: int) -> None:
    spans = split(count, parts)
    assert partitions(spans, count)
    assert max(map(len, spans)) - min(map(len, spans)) <= 1


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 16))
def test_key_value_heads_are_those_of_the_query_heads(parts: int, kv: int, group: int) -> None:
    for query in split(kv * group, parts):
        needed = {head // group for head in query.range}
        assert set(kv_heads(query, kv * group, kv).range) == needed


@given(layouts, dimensions())
def test_layers_go_to_one_stage_each(layout: Layout, size: Dimensions) -> None:
    parts = stages(size, layout.pp)
    assert len(parts) == layout.pp
    assert partitions(parts, size.layers)
    assert all(len(part) for part in parts)


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 20), st.integers(0, 60), st.integers(0, 60))
def test_no_other_cut_has_a_cheaper_slowest_stage(
    layers: int, count: int, layer: int, embedding: int, head: int
) -> None:
    def slowest(sizes: tuple[int, ...]) -> int:
        costs = [size * layer for size in sizes]
        costs[0] += embedding
        costs[-1] += head
        return max(costs)

    if count > layers:
        with pytest.raises(UsageError, match=f"the model has {layers} layers"):
            balance(layers, count, layer=layer, embedding=embedding, head=head)
        return
    cuts = [sizes for sizes in product(range(1, layers + 1), repeat=count) if sum(sizes) == layers]
    made = balance(layers, count, layer=layer, embedding=embedding, head=head)
    assert slowest(tuple(map(len, made))) == min(map(slowest, cuts))


@given(st.lists(st.integers(0, 10**6), max_size=200), st.integers(1, 64))
def test_requests_are_dealt_once_and_counts_are_even(costs: list[int], replicas: int) -> None:
    shares = dispatch(costs, replicas)
    assert sorted(index for share in shares for index in share) == list(range(len(costs)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    # Each round of the dispatch evens out what the rounds before left, so no more than one request lies between.
    loads = [sum(costs[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs, default=0)


def test_costly_requests_are_spread() -> None:
    assert dispatch([9, 1, 1, 9], 2) == ((0, 1), (2, 3)) or dispatch([9, 1, 1, 9], 2) == ((0, 2), (1, 3))


@given(layouts, dimensions())
def test_the_ranks_bytes_add_up_to_the_model(layout: Layout, size: Dimensions) -> None:
    """All that may exceed it is what is held more than once; without tensor parallelism that is a tied table."""
    one = Layout(pp=layout.pp)
    held = sum(parameter_bytes(size, one, one.coordinates(rank), 2) for rank in range(one.world_size))
    again = size.vocabulary * size.hidden if size.tied and layout.pp > 1 else 0
    assert held == 2 * (parameter_count(size) + again)
    world = sum(
        parameter_bytes(size, layout, layout.coordinates(rank), 2) for rank in range(layout.world_size)
    )
    assert world >= held * layout.dp
    assert world < held * layout.dp * layout.tp or layout.tp == 1


GPT2 = Dimensions(
    layers=12,
    heads=12,
    kv_heads=12,
    head_dim=64,
    hidden=768,
    mlp=3072,
    vocabulary=50257,
    positions=1024,
    learned_positions=True,
    tied=True,
    gated=False,
    attention_bias=True,
    mlp_bias=True,
    norm_bias=True,
)


def test_parameter_bytes_of_gpt2() -> None:
    assert parameter_count(GPT2) == 124_439_808
    layout = Layout(pp=2, tp=5)
    # By share, for the last of five tensor-parallel ranks on the first of two stages: 2 heads, 614 columns,
    # 10051 tokens, and 8 of the layers, because the head is as dear as 4.1.
    layer = 3 * 128 * 769 + 128 * 768 + 768 + 614 * 769 + 614 * 768 + 768 + 4 * 768
    assert parameter_bytes(GPT2, layout, Coordinates(0, 0, 4), 1) == 8 * layer + (10051 + 1024) * 768


def test_traffic_of_a_stage() -> None:
    size = Dimensions(
        layers=4,
        heads=2,
        kv_heads=2,
        head_dim=2,
        hidden=4,
        mlp=8,
        vocabulary=1,
        positions=8,
        learned_positions=True,
    )
    assert traffic(size, Layout(), Coordinates(), 5) == Traffic()
    assert traffic(size, Layout(dp=2), Coordinates(dp=1), 5) == Traffic()
    assert traffic(size, Layout(tp=2), Coordinates(), 5) == Traffic(all_reduce=45, all_gather=5)
    assert traffic(size, Layout(tp=2), Coordinates(), 5, gathers=0) == Traffic(all_reduce=45)
    assert traffic(size, Layout(pp=2), Coordinates(), 5) == Traffic(send=5, recv=5)
    assert traffic(size, Layout(pp=2, tp=2), Coordinates(pp=0), 5) == Traffic(25, 0, 5, 5)
    assert traffic(size, Layout(pp=2, tp=2), Coordinates(pp=1), 5) == Traffic(20, 5, 5, 5)


def test_traffic_of_prompts_that_pass_in_parts() -> None:
    size = replace(GPT2, layers=6, vocabulary=1)
    layout = Layout(pp=3, tp=2)
    # Hidden states go on with each pass, tokens back with each choice.
    assert traffic(size, layout, Coordinates(pp=0), 7, 4) == Traffic(7 * 5, 0, send=7, recv=4)
    assert traffic(size, layout, Coordinates(pp=1), 7, 4) == Traffic(7 * 4, 0, send=7, recv=7)
    assert traffic(size, layout, Coordinates(pp=2), 7, 4) == Traffic(7 * 4, 4, send=4, recv=7)


def test_the_head_is_a_load_of_its_own() -> None:
    # 7.1 million parameters a layer, and three quarters of 38.6 million are as much as four of those.
    assert [len(stage) for stage in stages(GPT2, 2)] == [8, 4]
