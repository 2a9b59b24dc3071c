"""On a rank: a fixed piece of work beside the rounds, which tells how fast the machine itself was meanwhile.

Its readings lie between the rounds of a launch and outside of their times. Where a case takes longer in one session
than in another, and the same read and the same product do so as well, the machine has changed and not the code.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.distributed as dist

from pytest_gpt_dist.host.device import synchronize
from pytest_gpt_dist.measure.rounds import Reading

_READ_BYTES = {"cpu": 2**26, "cuda": 2**28}
"""Beyond the second-level caches, and little enough for ranks whose memory is limited."""
_MATRIX = {"cpu": 512, "cuda": 4096}
_DTYPE = {"cpu": torch.float32, "cuda": torch.bfloat16}
_REDUCED_BYTES = 2**18
"""About what a layer of a decode step reduces."""


class Yardstick:
    """The fixed work of a rank; all ranks of the world make and read theirs at the same time.

    Made before a case's peak of memory is reset, its own memory is no part of that.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        try:
            self._pieces = _pieces(device)
        except (MemoryError, RuntimeError):  # torch has no common type for it on the CPU
            self._pieces = []
        there = torch.tensor([float(bool(self._pieces))])
        dist.all_reduce(there, dist.ReduceOp.MIN)
        self._is_there = bool(there.item())
        if self._is_there:
            self.read()  # what the first time takes besides, it takes here

    def read(self) -> Reading | None:
        """Do the work once, each piece on all ranks at the same time; None where a rank has no memory for it."""
        if not self._is_there:
            return None
        taken = torch.tensor([self._seconds(piece) for piece in self._pieces], dtype=torch.float64)
        dist.all_reduce(taken, dist.ReduceOp.MAX)
        read_s, product_s, *reduced = taken.tolist()
        return Reading(read_s, product_s, reduced[0] if reduced else None)

    def _seconds(self, piece: Callable[[], object]) -> float:
        synchronize(self._device)
        dist.barrier()
        start_s = time.perf_counter()
        piece()
        synchronize(self._device)
        return time.perf_counter() - start_s


def _pieces(device: torch.device) -> list[Callable[[], object]]:
    size = _MATRIX[device.type]
    buffer = torch.ones(_READ_BYTES[device.type] // 4, dtype=torch.float32, device=device)
    left, right = torch.ones((2, size, size), dtype=_DTYPE[device.type], device=device).unbind()
    pieces: list[Callable[[], object]] = [buffer.sum, lambda: torch.mm(left, right)]
    if dist.get_world_size() > 1:
        reduced = torch.zeros(_REDUCED_BYTES // 4, dtype=torch.float32, device=device)
        pieces.append(lambda: dist.all_reduce(reduced))
    return pieces
