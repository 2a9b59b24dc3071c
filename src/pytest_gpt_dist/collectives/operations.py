"""On a rank: the collectives themselves, and what each must come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from pytest_gpt_dist.collectives.bandwidth import Collective

Start = Callable[[bool], Sequence[dist.Work | None]]
"""Begins a collective, and returns what to wait for; with True it may wait itself, as a synchronous call does."""
_VALUES = 4


@dataclass(frozen=True)
class Operation:
    """One collective with its buffers on this rank.

    ``fill`` makes the buffers ready; ``result`` holds what comes of it, ``expected`` what has to.
    """

    start: Start
    fill: Callable[[], object]
    result: Tensor
    expected: Tensor

    def run(self) -> None:
        """Do it once; it is done when this returns, or queued on a GPU."""
        wait_for(self.start(True))

    def run_asynchronously(self) -> None:
        """Do it once, begun and waited for in two calls."""
        wait_for(self.start(False))


def wait_for(works: Sequence[dist.Work | None]) -> None:
    """Wait until what was begun is done."""
    for work in works:
        if work is not None:
            work.wait()


def values(rank: int, elements: int, like: Tensor) -> Tensor:
    """Return what a rank puts in: small whole numbers, so that sums are exact in every number format."""
    index = torch.arange(elements, device=like.device)
    return ((index + rank) % _VALUES).to(like.dtype)


def make_operation(what: Collective, dtype: torch.dtype, device: torch.device) -> Operation:
    """Return the collective of that kind over the whole world."""
    return _MAKERS[what.kind](_Buffers(what, dtype, device))


class _Buffers:
    """What every maker begins with: the largest buffer, and the part of it that is this rank's."""

    def __init__(self, what: Collective, dtype: torch.dtype, device: torch.device) -> None:
        self.rank, self.ranks, self.elements = dist.get_rank(), what.ranks, what.elements
        self.each = what.elements // what.ranks
        self.mine = slice(self.rank * self.each, (self.rank + 1) * self.each)
        self.whole = torch.empty(what.elements, dtype=dtype, device=device)

    def of(self, rank: int) -> Tensor:
        """Return what a rank puts in, of the whole size."""
        return values(rank, self.elements, self.whole)

    def sum(self) -> Tensor:
        """Return the sum of what all ranks put in."""
        total = torch.zeros_like(self.whole)
        for rank in range(self.ranks):
            total += self.of(rank)
        return total


def _all_reduce(buffers: _Buffers) -> Operation:
    whole, own = buffers.whole, buffers.of(buffers.rank)

    def start(sync: bool) -> Sequence[dist.Work | None]:
        return [dist.all_reduce(whole, async_op=not sync)]

    return Operation(start, lambda: whole.copy_(own), whole, buffers.sum())


def _reduce_scatter(buffers: _Buffers) -> Operation:
    own, part = buffers.of(buffers.rank), torch.empty_like(buffers.whole[: buffers.each])

    def start(sync: bool) -> Sequence[dist.Work | None]:
        return [dist.reduce_scatter_tensor(part, own, async_op=not sync)]

    return Operation(start, part.zero_, part, buffers.sum()[buffers.mine])


def _all_gather(buffers: _Buffers) -> Operation:
    whole, part = buffers.whole, values(buffers.rank, buffers.each, buffers.whole)

    def start(sync: bool) -> Sequence[dist.Work | None]:
        return [dist.all_gather_into_tensor(whole, part, async_op=not sync)]

    parts = [values(rank, buffers.each, whole) for rank in range(buffers.ranks)]
    return Operation(start, whole.zero_, whole, torch.cat(parts))


def _broadcast(buffers: _Buffers) -> Operation:
    whole, sent = buffers.whole, buffers.of(0)

    def start(sync: bool) -> Sequence[dist.Work | None]:
        return [dist.broadcast(whole, src=0, async_op=not sync)]

    return Operation(start, lambda: whole.copy_(sent) if buffers.rank == 0 else whole.zero_(), whole, sent)


def _all_to_all(buffers: _Buffers) -> Operation:
    whole, sent = buffers.whole, buffers.of(buffers.rank)

    def start(sync: bool) -> Sequence[dist.Work | None]:
        return [dist.all_to_all_single(whole, sent, async_op=not sync)]

    parts = [buffers.of(rank)[buffers.mine] for rank in range(buffers.ranks)]
    return Operation(start, whole.zero_, whole, torch.cat(parts))


def _send_recv(buffers: _Buffers) -> Operation:
    """Each rank sends to the next one and receives from the one before, as nccl-tests' sendrecv."""
    whole, sent = buffers.whole, buffers.of(buffers.rank)
    before, after = (buffers.rank - 1) % buffers.ranks, (buffers.rank + 1) % buffers.ranks

    def start(sync: bool) -> Sequence[dist.Work | None]:
        hops = [dist.P2POp(dist.isend, sent, after), dist.P2POp(dist.irecv, whole, before)]
        return dist.batch_isend_irecv(hops)

    return Operation(start, whole.zero_, whole, buffers.of(before))


_MAKERS: dict[str, Callable[[_Buffers], Operation]] = {
    "all_reduce": _all_reduce,
    "all_gather": _all_gather,
    "reduce_scatter": _reduce_scatter,
    "broadcast": _broadcast,
    "all_to_all": _all_to_all,
    "send_recv": _send_recv,
}
