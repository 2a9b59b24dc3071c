"""Which cores ranks own, and when there are too few of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.host.cores import Cores

NUMBERS = st.sets(st.integers(0, 200), min_size=1, max_size=24).map(lambda cores: tuple(sorted(cores)))


@given(numbers=NUMBERS, threads=st.integers(1, 8), world_size=st.integers(1, 12))
def test_ranks_share_no_core_until_there_are_too_few(
    numbers: tuple[int, ...], threads: int, world_size: int
) -> None:
    cores = Cores(numbers)
    owned = [cores.of_rank(rank, threads) for rank in range(world_size)]
    together = cores.of_ranks(world_size, threads)
    assert together == {core for each in owned for core in each} <= set(numbers)
    assert (len(together) == world_size * threads) == (not cores.oversubscribed(world_size, threads))


def test_neighbouring_ranks_sit_on_neighbouring_cores() -> None:
    cores = Cores((4, 5, 6, 7))
    assert [cores.of_rank(rank, 2) for rank in range(3)] == [(4, 5), (6, 7), (4, 5)]


@pytest.mark.parametrize(("limit", "ranks"), [(None, 4), (8.0, 4), (2.5, 2), (0.5, 0)])
def test_a_containers_limit_is_what_ranks_can_have(limit: float | None, ranks: int) -> None:
    cores = Cores((0, 1, 2, 3), limit)
    assert not cores.oversubscribed(ranks, threads=1)
    assert cores.oversubscribed(ranks + 1, threads=1)
