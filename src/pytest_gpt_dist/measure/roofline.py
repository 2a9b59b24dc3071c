"""On a rank: how fast its device, or its cores, can read memory and multiply matrices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import report_progress, this_rank
from pytest_gpt_dist.host.device import release_memory, synchronize
from pytest_gpt_dist.host.machine import DeviceLimits
from pytest_gpt_dist.measure.rank_rounds import largest
from pytest_gpt_dist.model.packing import linear, pack

_READ_BYTES = {"cpu": 2**28, "cuda": 2**32}
"""Far beyond the last cache: 32 MiB a group of cores on large processors, 60 MB on the largest GPUs."""
_MATRIX = {"cpu": 1024, "cuda": 8192}
_PROBE = 4
"""How many times shorter the sides of the matrices are by which the products are chosen."""
_LONGEST_S = 1.0
"""A product that would take longer is not worth its time."""
_REPEATS = 5
_IN_A_ROW = {"cpu": 1, "cuda": 20}
"""A read takes a GPU about a millisecond, of which waiting for its end would be a part."""


def measure_limits(dtype: str) -> DeviceLimits:
    """Return the best of several reads of a large buffer, and of several products of large matrices in ``dtype``.

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
    try:
        # On a CPU these are two libraries, of which one is faster on some processors and the other on others.
        probed = [
            (make, _seconds(make(_operands(size // _PROBE, device, dtype)), device)) for make in _PRODUCTS
        ]
    except (MemoryError, RuntimeError):
        probed = []
    if not _everywhere(bool(probed)):
        return None
    size, worthwhile = choose_products(size, largest(*(seconds for _, seconds in probed)))
    try:
        operands = _operands(size, device, dtype)
        products = [probed[place][0](operands) for place in worthwhile]
        for product in products:
            product()  # what it takes besides its operands, it takes here
    except (MemoryError, RuntimeError):
        products = []
    if not _everywhere(bool(products)):
        return None
    return 2 * size**3 / min(_best_s(product, device) for product in products)


def choose_products(size: int, probes_s: Sequence[float]) -> tuple[int, list[int]]:
    """Return how large the matrices are, and which of the products are measured with them.

    ``probes_s`` are seconds of each product of matrices whose sides are ``_PROBE`` times shorter, of the slowest rank.
    A processor without instructions for 16-bit numbers may take seconds for one product by one of the libraries.
    """
    longer = _PROBE**3
    while min(probes_s) * longer > _LONGEST_S and longer > 1:
        size, longer = size // 2, longer // 8
    fastest = min(range(len(probes_s)), key=probes_s.__getitem__)
    return size, [
        place for place, probe_s in enumerate(probes_s) if place == fastest or probe_s * longer <= _LONGEST_S
    ]


def _operands(size: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return two matrices of numbers as they come: a GPU needs less power, and is faster, where few bits change."""
    return torch.empty((2, size, size), dtype=dtype, device=device).normal_().unbind()


def _by_torch(operands: tuple[torch.Tensor, ...]) -> Callable[[], object]:
    left, right = operands
    return lambda: torch.mm(left, right)


def _packed(operands: tuple[torch.Tensor, ...]) -> Callable[[], object]:
    left, right = operands
    weights = pack(right)
    return lambda: linear(left, weights)


_PRODUCTS = (_by_torch, _packed)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a second run."""
    work()
    synchronize(device)
    start_s = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start_s


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
