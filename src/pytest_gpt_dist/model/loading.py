"""Fills a rank's parameters from the slices that its plan names."""

from collections.abc import Callable, Sequence

import torch

from pytest_gpt_dist.model.sharding import Piece, Share
from pytest_gpt_dist.model.weights import Weights
from pytest_gpt_dist.topology import Span


def load(
    plan: Sequence[Share],
    weights: Weights,
    dtype: torch.dtype,
    device: torch.device,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, torch.Tensor]:
    """Return a rank's parameters by name; beside them no more than a block of a tensor is ever in memory.

    Args:
        plan: the parameters and the pieces that they are made of.
        weights: where the values come from.
        dtype: of the parameters.
        device: of the parameters.
        report: told after each parameter how many bytes of how many are loaded.
    """
    sizes = [torch.Size(share.shape).numel() * dtype.itemsize for share in plan]
    parameters: dict[str, torch.Tensor] = {}
    done = 0
    for share, size in zip(plan, sizes, strict=True):
        parameter = torch.empty(share.shape, dtype=dtype, device=device)
        top = 0
        for piece in share.pieces:
            _fill(parameter[top : top + piece.height], piece, weights)
            top += piece.height
        parameters[share.name] = parameter
        done += size
        if report is not None:
            report(done, sum(sizes))
    return parameters


def _fill(target: torch.Tensor, piece: Piece, weights: Weights) -> None:
    if piece.transposed:
        target = target.t()
    width = 1 if piece.columns is None else len(piece.columns)
    if not width:
        return
    rows = max(1, weights.block // width)
    for start in range(piece.rows.start, piece.rows.stop, rows):
        block = Span(start, min(start + rows, piece.rows.stop))
        offset = start - piece.rows.start
        target[offset : offset + len(block)].copy_(weights.read(piece.source, block, piece.columns))
