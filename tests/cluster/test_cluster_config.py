import pytest

from pytest_gpt_dist.cluster import ClusterConfig
from pytest_gpt_dist.errors import UsageError


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
