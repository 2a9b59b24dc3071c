"""On a rank: how fast its device, or its cores, can read memory and multiply matrices."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import release_memory, synchronize
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.model.packing import linear, pack

_READ_BYTES = {"cpu": 2**28, "cuda": 2**32}
"""Far beyond the last cache: 32 MiB a group of cores on large processors, 60 MB on the largest GPUs."""
_MATRIX = {"cpu": 1024, "cuda": 8192}
_REPEATS = 5
_IN_A_ROW = {"cpu": 1, "cuda": 20}
"""A read takes a GPU about a millisecond, of which waiting for its end would be a part."""


def measure_limits(dtype: str) -> DeviceLimits:
    """The best of several reads of a large buffer, and of several products of large matrices in ``dtype``.

    All ranks work at the same time, as they do in a case: what they share, they share here. What the memory
    does not suffice for is None.
    """
    report_progress("measuring the limits")
    device = torch.device(this_rank().device)
    try:
        return DeviceLimits(_read_bytes_per_s(device), _flops_per_s(device, getattr(torch, dtype)))
    finally:
        release_memory(device)


def _read_bytes_per_s(device: torch.device) -> float | None:
    """Of summing a buffer and of a dot product of its halves the faster: torch's reductions differ by processor."""
    size = _READ_BYTES[device.type]
    try:
        buffer: torch.Tensor | None = torch.ones(size // 4, dtype=torch.float32, device=device)
    except (MemoryError, RuntimeError):  # torch has no common type for it on the CPU
        buffer = None
    if not _everywhere(buffer is not None):
        return None
    assert buffer is not None
    first, second = buffer.chunk(2)
    readers: list[Callable[[], object]] = [buffer.sum, lambda: torch.dot(first, second)]
    return size / min(_best_s(reader, device) for reader in readers)


def _flops_per_s(device: torch.device, dtype: torch.dtype) -> float | None:
    size = _MATRIX[device.type]
    operands: tuple[torch.Tensor, ...] = ()
    try:
        # Numbers as they come: a GPU needs less power, and is faster, where few bits change.
        operands = torch.empty((2, size, size), dtype=dtype, device=device).normal_().unbind()
        torch.mm(*operands)
    except (MemoryError, RuntimeError):
        operands = ()
    if not _everywhere(bool(operands)):
        return None
    left, right = operands
    packed = pack(right)
    # On a CPU these are two libraries, of which one is faster on some processors and the other on others.
    products: list[Callable[[], object]] = [lambda: torch.mm(left, right), lambda: linear(left, packed)]
    return 2 * size**3 / min(_best_s(product, device) for product in products)


def _best_s(work: Callable[[], object], device: torch.device) -> float:
    work()
    best_s = float("inf")
    in_a_row = _IN_A_ROW[device.type]
    for _ in range(_REPEATS):
        synchronize(device)
        dist.barrier()
        start_s = time.perf_counter()
        for _ in range(in_a_row):
            work()
        synchronize(device)
        best_s = min(best_s, (time.perf_counter() - start_s) / in_a_row)
    return best_s


def _everywhere(here: bool) -> bool:
    shared = torch.tensor([float(here)])
    dist.all_reduce(shared, dist.ReduceOp.MIN)
    return shared.item() == 1
