"""The norm of a gradient whose parts lie on several ranks, and clipping by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

_ROW = 2**10
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
    scale_by(torch.clamp(most / (norm + _EPSILON), max=1.0), gradients)


def scale_by(factor: Tensor | float, gradients: Sequence[Tensor]) -> None:
    """Multiply gradients by a factor in place."""
    by_kind: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for gradient in gradients:
        here = local(gradient)
        by_kind.setdefault((here.dtype, here.device), []).append(here)
    for (format_, device), alike in by_kind.items():
        torch._foreach_mul_(alike, torch.as_tensor(factor).to(device, format_))


def local(tensor: Tensor) -> Tensor:
    """Return what this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _squares(gradients: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the sum of squares of what this rank holds: of rows in their own format, and of all rows in double.

    On a CPU torch adds the squares of a tensor nearly one after the other: in float32 the norm of 8 million random
    numbers is off by 3e-4, and that of as many equal ones by 7e-3.
    """
    held = [each for each in map(local, gradients) if each.numel()]
    if not held:
        return torch.zeros((), dtype=torch.float64, device=device)
    if device.type == "cpu":
        rows = [part for each in held for part in _in_rows(each.reshape(-1))]
        norms = torch.cat([torch.linalg.vector_norm(part, dim=1).double() for part in rows])
    else:
        norms = torch.stack([norm.double() for norm in torch._foreach_norm(held)])
    return norms.square().sum().to(device)


def _in_rows(flat: Tensor) -> Iterator[Tensor]:
    """Yield a vector's elements as rows of one length, and what is left of them as one shorter row."""
    whole = flat.numel() // _ROW * _ROW
    if whole:
        yield flat[:whole].view(-1, _ROW)
    if whole < flat.numel():
        yield flat[whole:].view(1, -1)
