"""What is measured as the limit of a device's arithmetic, and in how long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.cluster import Cluster, ClusterConfig, RankGroup
from pytest_gpt_dist.measure.entry_points import measure_limits
from pytest_gpt_dist.measure.roofline import choose_products

SECONDS = st.floats(1e-6, 100)


def test_products_of_like_speed_are_measured_at_full_size() -> None:
    assert choose_products(1024, [0.0005, 0.0006]) == (1024, [0, 1])


def test_a_product_that_would_take_seconds_is_left_to_the_other_library() -> None:
    assert choose_products(1024, [0.032, 0.010]) == (1024, [1])


def test_where_both_would_take_seconds_the_matrices_are_smaller() -> None:
    assert choose_products(1024, [0.2, 0.1]) == (512, [1])


@given(st.lists(SECONDS, min_size=1, max_size=3))
def test_the_fastest_product_is_always_measured(probes_s: list[float]) -> None:
    size, chosen = choose_products(1024, probes_s)
    assert probes_s.index(min(probes_s)) in chosen
    assert 256 <= size <= 1024


@pytest.fixture(scope="module")
def two() -> Iterator[RankGroup]:
    with Cluster(ClusterConfig(device="cpu")) as cluster:
        yield cluster.group(2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_every_rank_has_limits_in_every_format(two: RankGroup, dtype: str) -> None:
    for limits in two.run(measure_limits, dtype):
        assert limits.read_bytes_per_s is not None
        assert limits.flops_per_s is not None
        assert min(limits.read_bytes_per_s, limits.flops_per_s) > 1e8
