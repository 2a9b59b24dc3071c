"""Fills a rank's parameters from the slices that its plan names."""

from collections.abc import Callable, Sequence
from itertools import groupby

import torch

from pytest_gpt_dist.model.sharding import Piece, Share
from pytest_gpt_dist.model.weight_cache import KeptWeights
from pytest_gpt_dist.model.weights import Weights
from pytest_gpt_dist.parallel import Span


def load(
    plan: Sequence[Share],
    weights: Weights,
    dtype: torch.dtype,
    device: torch.device,
    report: Callable[[int, int], None] | None = None,
    *,
    kept: KeptWeights | None = None,
) -> dict[str, torch.Tensor]:
    """Return a rank's parameters by name; beside them no more than a block of a tensor is ever in memory.

    Args:
        plan: the parameters and the pieces that they are made of.
        weights: where the values come from.
        dtype: of the parameters.
        device: of the parameters.
        report: told after each parameter how many bytes of how many are loaded.
        kept: what others have made of ``weights`` already, on the CPU; the rest is added to it.
    """
    parameters = {share.name: torch.empty(share.shape, dtype=dtype, device=device) for share in plan}
    total = sum(parameter.nbytes for parameter in parameters.values())
    done = 0
    parts = [tuple(part) for _, part in groupby(plan, key=_layer)]
    for part in parts if kept is None else kept.turned(parts):
        made = [parameters[share.name] for share in part]
        found = kept is not None and kept.read(part, made)
        for share, parameter in zip(part, made, strict=True):
            if not found:
                _fill_share(parameter, share, weights)
            done += parameter.nbytes
            if report is not None:
                report(done, total)
        if kept is not None and not found:
            kept.write(part, made)
    return parameters


def _layer(share: Share) -> list[str]:
    """Return what a parameter belongs to: its layer, or itself alone."""
    return share.name.split(".")[:2]


def _fill_share(parameter: torch.Tensor, share: Share, weights: Weights) -> None:
    top = 0
    for piece in share.pieces:
        fill(parameter[top : top + piece.height], piece, weights)
        top += piece.height


def fill(target: torch.Tensor, piece: Piece, weights: Weights) -> None:
    """Write a piece into what becomes of it, block by block, so that little more is ever in memory."""
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
