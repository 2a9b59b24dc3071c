"""The norm of a gradient whose parts lie on several ranks, and clipping by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

_EPSILON = 1e-6  # torch's, in clip_grad_norm_


@dataclass(frozen=True)
class NormPart:
    """Gradients of which every rank of ``groups`` holds another part, and ranks outside of them the same one.

    Each gradient is counted once: what several ranks hold alike is in a part without their group, and what another
    rank counts is in a part that is not ``counted`` but clipped all the same.
    """

    gradients: Sequence[Tensor]
    groups: Sequence[dist.ProcessGroup] = ()
    counted: bool = True


def total_norm(parts: Sequence[NormPart], device: torch.device) -> Tensor:
    """Return the 2-norm of the whole gradient, the same on every rank: one all-reduce for each group of each part."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for part in parts:
        if not part.counted:
            continue
        squares = _squares(part.gradients, device)
        for group in part.groups:
            dist.all_reduce(squares, group=group)
        total += squares
    return total.sqrt()


def clip_by(norm: Tensor, most: float, gradients: Sequence[Tensor]) -> None:
    """Scale gradients by ``most ÷ norm`` where that is below 1, in place, as torch's ``clip_grad_norm_`` does."""
    factor = torch.clamp(most / (norm + _EPSILON), max=1.0)
    by_format: dict[torch.dtype, list[Tensor]] = {}
    for gradient in gradients:
        here = local(gradient)
        by_format.setdefault(here.dtype, []).append(here)
    for format_, alike in by_format.items():
        torch._foreach_mul_(alike, factor.to(format_))


def local(tensor: Tensor) -> Tensor:
    """Return what this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _squares(gradients: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the sum of squares of what this rank holds; of tensors in double, as there may be many of them."""
    held = [local(gradient) for gradient in gradients]
    held = [each for each in held if each.numel()]
    if not held:
        return torch.zeros((), dtype=torch.float64, device=device)
    return torch.stack([norm.double() for norm in torch._foreach_norm(held)]).square().sum()
