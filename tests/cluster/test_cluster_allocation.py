"""What ranks do with memory that they freed."""

import resource

import torch

from pytest_gpt_dist.cluster import Cluster
from pytest_gpt_dist.cluster.local.malloc import with_kept_memory


def faults_of_a_second_tensor(size: int) -> int:
    torch.zeros(size, dtype=torch.uint8).fill_(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(size, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_rank_uses_freed_memory_again(cluster: Cluster) -> None:
    size = 24 * 2**20
    (faults,) = cluster.group(1).run(faults_of_a_second_tensor, size)
    assert faults < size / 4096 / 10


def test_the_users_own_settings_come_last_and_nothing_else_changes() -> None:
    found = with_kept_memory({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", "PATH": "/bin"})
    assert found["GLIBC_TUNABLES"].endswith(":glibc.malloc.hugetlb=0")
    assert (found["PATH"], len(found)) == ("/bin", 2)
