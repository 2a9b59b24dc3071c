"""Sizes and bandwidths of collectives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.collectives.bandwidth import Collective, bus_factor, overlap, written_size
from pytest_gpt_dist.config.collectives import KINDS, parse_sizes
from pytest_gpt_dist.config.declaration import parse_bytes


@given(st.sampled_from(KINDS), st.integers(2, 64), st.integers(1, 2**30), st.sampled_from([2, 4, 8]))
def test_every_rank_has_a_whole_part(kind: str, ranks: int, size: int, itemsize: int) -> None:
    made = Collective.of_bytes(kind, ranks, size, itemsize)
    assert made.elements % ranks == 0
    assert made.elements >= ranks
    assert made.bytes <= max(size, ranks * itemsize)
    assert size - made.bytes < ranks * itemsize


@pytest.mark.parametrize(
    ("kind", "ranks", "factor"),
    [  # the table of nccl-tests' doc/PERFORMANCE.md
        ("all_reduce", 2, 1.0),
        ("all_reduce", 8, 1.75),
        ("all_gather", 4, 0.75),
        ("reduce_scatter", 8, 0.875),
        ("all_to_all", 2, 0.5),
        ("broadcast", 8, 1.0),
        ("send_recv", 4, 1.0),
    ],
)
def test_bus_factors_are_those_of_nccl_tests(kind: str, ranks: int, factor: float) -> None:
    assert bus_factor(kind, ranks) == factor


@given(st.integers(1, 2**45))
def test_a_written_size_is_read_back(size: int) -> None:
    assert parse_bytes(written_size(size)) == size


def test_sizes_are_sorted() -> None:
    assert parse_sizes("1MiB,1KiB,1024") == (1024, 2**20)


@pytest.mark.parametrize(("both", "share"), [(3.0, 0.0), (2.0, 1.0), (2.5, 0.5), (4.0, 0.0), (1.0, 1.0)])
def test_overlap_is_the_hidden_share_of_the_shorter(both: float, share: float) -> None:
    assert overlap(1.0, 2.0, both) == share
