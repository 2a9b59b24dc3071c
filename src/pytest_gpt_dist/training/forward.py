"""On a rank: the forward pass that every strategy trains, as a module of logits."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from pytest_gpt_dist.training.model import blocks_of
from pytest_gpt_dist.training.strategy import Division


class TrainedForward(nn.Module):
    """Tokens to logits by transformers' own module, with what is computed again in the backward pass.

    Attributes:
        module: transformers' own, whose parameters have the names of checkpoints.
    """

    def __init__(self, division: Division, module: PreTrainedModel) -> None:
        super().__init__()
        self.module = module
        recompute(module, division.checkpointing)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits ``[rows, width, vocabulary]`` of tokens ``[rows, width]``."""
        logits: Tensor = self.module(input_ids=tokens, use_cache=False).logits
        return logits


def recompute(module: PreTrainedModel, every: int) -> None:
    """Have every so many layers computed again in the backward pass instead of kept; 0 for none of them."""
    if not every:
        return
    module.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    for place, block in enumerate(blocks_of(module)):
        of_transformers: Any = block
        of_transformers.gradient_checkpointing = place % every == 0
