"""The one definition of the loss: the sum over label tokens ÷ their number in the whole world's step.

The number is known before the backward pass, so that no mean of means is ever taken: ranks and microbatches have
unequal label counts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

NO_LABEL = -100


def backpropagate(loss: Tensor) -> None:
    """Add the gradients of a loss to those that parameters have."""
    loss.backward()  # type: ignore[no-untyped-call]


def token_loss(logits: Tensor, labels: Tensor, labels_in_step: int) -> Tensor:
    """Return a microbatch's part of the loss: cross-entropy summed over its labels ÷ those of the whole step.

    Args:
        logits: ``[rows, width, vocabulary]``.
        labels: ``[rows, width]``, the token after each place; ``NO_LABEL`` where there is none.
        labels_in_step: label tokens of all microbatches of all ranks.
    """
    numbers = logits if logits.dtype == torch.float64 else logits.float()
    summed = cross_entropy(numbers.flatten(0, 1), labels.flatten(), ignore_index=NO_LABEL, reduction="sum")
    return summed / labels_in_step
