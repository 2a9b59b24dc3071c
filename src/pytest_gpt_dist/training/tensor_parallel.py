"""On a rank: layers whose parameters are cut over a tensor-parallel group, with gradients.

Megatron's two conjugate functions frame what is cut: ``copy_to_group`` before it (its gradient is summed), and
``sum_over_group`` behind it (its gradient is the same everywhere). Column-parallel layers are transformers' own with
fewer outputs; ``RowParallel`` and ``VocabularyEmbedding`` sum what ranks have; ``vocabulary_loss`` gathers no logits.
Every function takes None for a group of one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  as everybody calls it
from torch import Tensor, nn

from pytest_gpt_dist.parallel import Span
from pytest_gpt_dist.training.loss import NO_LABEL, token_loss

Group = dist.ProcessGroup | None


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=ctx.group)
        return summed, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        summed = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=group)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def copy_to_group(x: Tensor, group: Group) -> Tensor:
    """Return ``x``, whose gradient is the sum of what the ranks' own layers come to."""
    return x if group is None else _apply(_Copy, x, group)


def sum_over_group(x: Tensor, group: Group) -> Tensor:
    """Return the sum of the ranks' ``x``; its gradient, the same on all ranks, goes to each."""
    return x if group is None else _apply(_Sum, x, group)


def _apply(function: type[torch.autograd.Function], x: Tensor, group: dist.ProcessGroup) -> Tensor:
    result: Tensor = function.apply(x, group)  # type: ignore[no-untyped-call]
    return result


class RowParallel(nn.Module):
    """A linear layer of some of the inputs; ranks' products are summed, and the bias is added once, to the sum.

    Args:
        weight: ``[outputs, inputs]``, or ``[inputs, outputs]`` as GPT-2's ``Conv1D`` has it.
        bias: of the whole layer, or None.
        group: the ranks that have the other inputs.
        inputs_first: the weight is ``[inputs, outputs]``.
    """

    def __init__(
        self, weight: nn.Parameter, bias: nn.Parameter | None, group: Group, *, inputs_first: bool
    ) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self._group, self._inputs_first = group, inputs_first

    def forward(self, x: Tensor) -> Tensor:
        """Return the whole layer's outputs."""
        product = F.linear(x, self.weight.t() if self._inputs_first else self.weight)
        product = sum_over_group(product, self._group)
        return product if self.bias is None else product + self.bias


class VocabularyEmbedding(nn.Module):
    """The rows of some tokens; other tokens are looked up by other ranks."""

    def __init__(self, weight: nn.Parameter, own: Span, group: Group) -> None:
        super().__init__()
        self.weight = weight
        self._own, self._group = own, group

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows of all tokens."""
        elsewhere = (tokens < self._own.start) | (tokens >= self._own.stop)
        rows = F.embedding((tokens - self._own.start).masked_fill(elsewhere, 0), self.weight)
        return sum_over_group(rows.masked_fill(elsewhere[..., None], 0), self._group)


class _VocabularyLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, first: int, group: dist.ProcessGroup) -> Tensor:
        most = logits.amax(dim=-1)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=group)
        powers = logits - most[:, None]
        elsewhere = (labels < first) | (labels >= first + logits.shape[-1])  # what has no label among it
        column = (labels - first).masked_fill(elsewhere, 0)
        chosen = powers.gather(-1, column[:, None])[:, 0].masked_fill(elsewhere, 0)
        powers.exp_()
        sums = torch.stack([powers.sum(dim=-1), chosen])
        dist.all_reduce(sums, group=group)
        unlabelled = labels == NO_LABEL
        ctx.save_for_backward(powers.div_(sums[0][:, None]), column, elsewhere, unlabelled)
        return (sums[0].log() - sums[1]).masked_fill(unlabelled, 0).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        probabilities, column, elsewhere, unlabelled = ctx.saved_tensors
        chosen = torch.ones_like(column, dtype=probabilities.dtype).masked_fill(elsewhere, 0)
        gradient = probabilities.scatter_add(-1, column[:, None], -chosen[:, None])
        return gradient.masked_fill_(unlabelled[:, None], 0) * gradients[0], None, None, None


def vocabulary_loss(logits: Tensor, labels: Tensor, labels_in_step: int, own: Span, group: Group) -> Tensor:
    """Return a microbatch's part of the loss, as ``token_loss`` defines it, from this rank's logits.

    Args:
        logits: ``[rows, width, len(own)]``.
        labels: ``[rows, width]``, over the whole vocabulary; ``NO_LABEL`` where there is none.
        labels_in_step: label tokens of all microbatches of all ranks.
        own: the tokens of this rank.
        group: the ranks of the others.
    """
    if group is None:
        return token_loss(logits, labels, labels_in_step)
    numbers = logits if logits.dtype == torch.float64 else logits.float()
    summed: Tensor = _VocabularyLoss.apply(  # type: ignore[no-untyped-call]
        numbers.flatten(0, 1), labels.flatten(), own.start, group
    )
    return summed / labels_in_step
