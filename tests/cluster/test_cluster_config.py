import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gpt_dist.cluster import ClusterConfig
from pytest_gpt_dist.cluster.config import cores_of, oversubscribed
from pytest_gpt_dist.errors import UsageError

CORES = st.sets(st.integers(0, 200), min_size=1, max_size=24).map(lambda cores: tuple(sorted(cores)))


@given(available=CORES, threads=st.integers(1, 8), world_size=st.integers(1, 12))
def test_ranks_share_no_core_until_there_are_too_few(
    available: tuple[int, ...], threads: int, world_size: int
) -> None:
    owned = [cores_of(rank, threads, available) for rank in range(world_size)]
    assert all(set(cores) <= set(available) for cores in owned)
    disjoint = len({core for cores in owned for core in cores}) == world_size * threads
    assert disjoint == (not oversubscribed(world_size, threads, available))


def test_neighbouring_ranks_sit_on_neighbouring_cores() -> None:
    assert [cores_of(rank, 2, (4, 5, 6, 7)) for rank in range(3)] == [(4, 5), (6, 7), (4, 5)]


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"device": "tpu"}, "device 'tpu' is unknown"),
        ({"device": "cpu", "backend": "mpi"}, "backend 'mpi' is unknown"),
        ({"device": "cpu", "backend": "nccl"}, "nccl needs GPUs"),
        ({"device": "cpu", "share_gpu": True}, "only be shared on device cuda"),
        ({"device": "cuda", "backend": "nccl", "share_gpu": True}, "two ranks on one GPU"),
        ({"device": "cpu", "threads_per_rank": 0}, "at least 1"),
        ({"device": "cpu", "memory_limit_bytes": 0}, "at least 1 byte"),
        ({"device": "cpu", "log_level": "loud"}, "log level 'loud' is unknown: choose debug, info"),
        ({"device": "cpu", "timeout_s": 0}, "seconds above 0"),
        ({"device": "cpu", "timeout_s": float("nan")}, "seconds above 0"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(parts: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        ClusterConfig(**parts)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
