"""What ranks on GPUs communicate by."""

import pytest

from pytest_gpt_dist.config.settings import Options
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.host.cores import Cores
from pytest_gpt_dist.host.gpus import Gpu
from pytest_gpt_dist.host.machine import Machine, find_machine


@pytest.mark.parametrize(
    ("gpus", "backend", "staged"), [(1, "nccl", False), (2, "nccl", False), (4, "gloo", True)]
)
def test_ranks_that_share_a_gpu_go_through_the_host_and_no_others(
    gpus: int, backend: str, staged: bool
) -> None:
    both = tuple(Gpu(index, f"GPU-{index}", "H200", 2**37) for index in range(2))
    machine = Machine("cuda", both, "570", "nccl", 1, share_gpu=True, cores=Cores((0, 1)))
    assert machine.lacks(gpus) is None
    assert (machine.backend_of(gpus), machine.staged(gpus)) == (backend, staged)


def test_cores_are_not_shared_through_the_host() -> None:
    machine = Machine("cpu", (), None, "gloo", 1, share_gpu=False, cores=Cores((0, 1)))
    assert (machine.backend_of(4), machine.staged(4)) == ("gloo", False)


def test_without_a_gpu_there_is_none_to_share() -> None:
    with pytest.raises(UsageError, match="--gpt-share-gpu: there is no GPU to share"):
        find_machine(Options(device="cpu", share_gpu=True))
