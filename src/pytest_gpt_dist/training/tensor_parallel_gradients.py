"""On a rank: gradients of shares after the backward pass: what ranks sum, and what each of them counts for the norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from pytest_gpt_dist.parallel import Span
from pytest_gpt_dist.training.tensor_parallel import Group
from pytest_gpt_dist.training.tensor_parallel_shares import ParameterShare


def sum_partial(gradients: Sequence[tuple[Tensor, ParameterShare]], group: Group) -> None:
    """Sum over tensor-parallel ranks what several hold and each has a part of: one all-reduce of all of it.

    These are norms of queries and keys, which see the rank's heads alone, and key/value heads that stand on two ranks.
    """
    if group is None:
        return
    parts = [(gradient, share, rows) for gradient, share in gradients for rows in share.summed]
    if not parts:
        return
    buffers = [gradient.new_zeros(len(rows), *gradient.shape[1:]) for gradient, _, rows in parts]
    places = [share.local_rows(rows) for _, share, rows in parts]
    for buffer, (gradient, _, _), place in zip(buffers, parts, places, strict=True):
        if place is not None:
            buffer[place[1].slice] = gradient[place[0].slice]
    all_reduce_flat(buffers, group)
    for buffer, (gradient, _, _), place in zip(buffers, parts, places, strict=True):
        if place is not None:
            gradient[place[0].slice] = buffer[place[1].slice]


def all_reduce_flat(tensors: Sequence[Tensor], group: Group) -> None:
    """Sum tensors of one number format over a group in place, in one all-reduce."""
    if group is None or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat, group=group)
    for tensor, summed in zip(
        tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True
    ):
        tensor.copy_(summed.view_as(tensor))


def norm_views(gradient: Tensor, share: ParameterShare) -> tuple[Tensor, list[Tensor]]:
    """Return what of a gradient the rank counts for the norm, and what an earlier rank counts."""
    if not share.uncounted:
        return gradient, []
    elsewhere = Span(0, share.uncounted)
    return gradient[elsewhere.stop :], [gradient[elsewhere.slice]]
