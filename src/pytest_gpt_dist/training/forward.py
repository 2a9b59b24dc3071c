"""On a rank: the forward pass that every strategy trains, as a module of logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.nn.utils.stateless import _reparametrize_module
from transformers import PreTrainedModel

from pytest_gpt_dist.model.dtypes import torch_dtype
from pytest_gpt_dist.training.model import blocks_of
from pytest_gpt_dist.training.shapes import stored_dtype
from pytest_gpt_dist.training.strategy import Division


class TrainedForward(nn.Module):
    """Tokens to logits by transformers' own module, with what is computed again in the backward pass.

    In 16 bits its parameters are in float32 all the same, for the optimizer; ``cast`` computes with them in 16 bits.

    Attributes:
        module: transformers' own, whose parameters have the names of checkpoints.
    """

    def __init__(self, division: Division, module: PreTrainedModel) -> None:
        super().__init__()
        self.module = module
        self._cast_to = (
            None if stored_dtype(division.dtype) == division.dtype else torch_dtype(division.dtype)
        )
        self._offloads = division.tuning.activation_offload
        self._on_gpu = division.device.type == "cuda"
        recompute(module, division.checkpointing)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits ``[rows, width, vocabulary]`` of tokens ``[rows, width]``."""
        with self.kept():
            logits: Tensor = self.module(input_ids=tokens, use_cache=False).logits
        return logits

    def kept(self) -> AbstractContextManager[Any]:
        """Return around what activations are kept in the host's memory for the backward pass, if they are to be."""
        return save_on_cpu(pin_memory=self._on_gpu) if self._offloads else nullcontext()

    @contextmanager
    def cast(self) -> Iterator[None]:
        """Have the parameters in the format of the computation, for a forward pass and the backward pass after it.

        Gradients come to the parameters themselves, in their own format.
        """
        if self._cast_to is None:
            yield
            return
        in_short = {name: each.to(self._cast_to) for name, each in self.module.named_parameters()}
        with _reparametrize_module(self.module, in_short, tie_weights=True):
            yield


def recompute(module: PreTrainedModel, every: int) -> None:
    """Have every so many layers computed again in the backward pass instead of kept; 0 for none of them."""
    if not every:
        return
    module.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    for place, block in enumerate(blocks_of(module)):
        of_transformers: Any = block
        of_transformers.gradient_checkpointing = place % every == 0
