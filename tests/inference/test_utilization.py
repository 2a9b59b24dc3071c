"""The work that a generation has to do, and its share of what the devices can do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.engines.protocol import ModelSource, Request
from pytest_gpt_dist.inference.metrics import ThroughputMetrics
from pytest_gpt_dist.inference.utilization import mbu, mfu
from pytest_gpt_dist.inference.workload import Workload
from pytest_gpt_dist.measure.statistics import summarize
from pytest_gpt_dist.model.presets import GPT2, LLAMA_3_2_1B
from pytest_gpt_dist.parallel import (
    Coordinates,
    Layout,
    Passes,
    decode_bytes,
    parameter_bytes,
    prefill_flops,
)

GPT = GPT2.config.dimensions
LAYOUTS = st.builds(Layout, st.just(1), st.integers(1, 4), st.integers(1, 4))


def test_decoding_gpt2_reads_its_124_million_weights_without_the_positions_and_the_cache() -> None:
    """By hand: 12 layers of 7,087,872, a head of 50,257 x 768, a norm of 1,536; 2 x 768 x 12 a cached token."""
    weights = 12 * 7_087_872 + 50_257 * 768 + 1_536
    assert weights == parameter_bytes(GPT, Layout(), Coordinates(), 1) - 1024 * 768
    cached = 10 + 11  # the second of three tokens is made from 10 and its own, the third from one more
    read = decode_bytes(GPT, Layout(), Coordinates(), 4, Passes([10], 3))
    assert read == 4 * (2 * weights + 2 * 768 * 12 * cached)


def test_the_first_token_costs_no_decoding() -> None:
    assert decode_bytes(GPT, Layout(), Coordinates(), 4, Passes([10, 20], 1)) == 0


def test_an_untied_embedding_is_not_read_in_decoding() -> None:
    size = replace(LLAMA_3_2_1B.config.dimensions, tied=False)
    tied = replace(size, tied=True)
    passes = Passes([8], 2)
    assert decode_bytes(size, Layout(), Coordinates(), 2, passes) == decode_bytes(
        tied, Layout(), Coordinates(), 2, passes
    )


@given(LAYOUTS, st.lists(st.integers(1, 50), min_size=1, max_size=3), st.integers(1, 9))
def test_ranks_together_read_what_one_device_does_and_what_each_of_them_holds(
    layout: Layout, prompts: list[int], steps: int
) -> None:
    passes = Passes(prompts, steps)
    alone = decode_bytes(GPT, Layout(), Coordinates(), 4, passes)
    places = [layout.coordinates(rank) for rank in range(layout.world_size)]
    together = sum(decode_bytes(GPT, layout, at, 4, passes) for at in places)
    copies = (
        layout.tp - 1
    )  # every rank of a tensor-parallel group reads the norms and the biases after all-reduces
    vectors = 12 * (2 * 2 * 768 + 2 * 768) + 2 * 768
    assert together == alone + copies * (steps - 1) * vectors * 4


@given(LAYOUTS, st.lists(st.integers(1, 50), min_size=1, max_size=3))
def test_ranks_together_compute_what_one_device_does(layout: Layout, prompts: list[int]) -> None:
    passes = Passes(prompts, 1)
    places = [layout.coordinates(rank) for rank in range(layout.world_size)]
    together = sum(prefill_flops(GPT, layout, at, passes) for at in places)
    assert together == prefill_flops(GPT, Layout(), Coordinates(), passes)


def test_a_prefill_is_two_operations_a_weight_and_token_and_the_causal_half_of_attention() -> None:
    flops = prefill_flops(GPT, Layout(), Coordinates(), Passes([3], 1))
    assert flops == 12 * (2 * 12 * 768 * 768 * 3 + 4 * 768 * (1 + 2 + 3)) + 2 * 50_257 * 768


def case(layout: Layout) -> Case:
    return Case(
        strategy="any",
        layout=layout,
        degenerate=None,
        engine="native",
        engine_path="nowhere:Engine",
        workload=Workload(model="gpt2", dtype="float32"),
        model_name="gpt2",
        source=ModelSource(GPT2.config, None, 0, "float32"),
        tokenizer="bytes",
        requests=(Request(0, tuple(range(10)), 3), Request(1, tuple(range(10)), 3)),
    )


def metrics(prefill_s: float, decode_s: float) -> ThroughputMetrics:
    latency = summarize([1.0])
    return ThroughputMetrics(1.0, 1.0, 20 / prefill_s, 4 / decode_s, latency, latency, latency, latency)


def test_the_fraction_is_work_over_time_over_the_limits_of_all_ranks() -> None:
    alone = decode_bytes(GPT, Layout(), Coordinates(), 4, Passes([10], 3))
    limits = [DeviceLimits(alone / 2.0, 1.0)] * 2
    found = mbu(case(Layout(dp=2)), metrics(1.0, 4.0), limits)
    assert found == pytest.approx(0.5)  # each replica could do its request in 2 s, and took 4


def test_prefill_is_held_against_the_products_of_matrices() -> None:
    flops = prefill_flops(GPT, Layout(), Coordinates(), Passes([10, 10], 1))
    assert mfu(case(Layout()), metrics(2.0, 1.0), [DeviceLimits(1.0, flops)]) == pytest.approx(0.5)


def test_an_unknown_limit_of_one_rank_leaves_no_fraction() -> None:
    limits = [DeviceLimits(1e9, None), DeviceLimits(None, None)]
    assert mbu(case(Layout(dp=2)), metrics(1.0, 1.0), limits) is None
    assert mfu(case(Layout(dp=2)), metrics(1.0, 1.0), limits) is None
    assert mbu(case(Layout(dp=2)), metrics(1.0, 1.0), []) is None
