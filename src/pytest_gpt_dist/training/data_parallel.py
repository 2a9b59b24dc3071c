"""On a rank: whole replicas by DistributedDataParallel, with the optimizer's state whole or divided (ZeRO-1)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

from pytest_gpt_dist.training.clipping import NormPart
from pytest_gpt_dist.training.compression import compress
from pytest_gpt_dist.training.forward import TrainedForward
from pytest_gpt_dist.training.loss import backpropagate, token_loss
from pytest_gpt_dist.training.microbatches import Microbatch
from pytest_gpt_dist.training.model import build_on_meta, materialize
from pytest_gpt_dist.training.optimizer import make_optimizer, optimizer_class
from pytest_gpt_dist.training.shapes import stored_dtype
from pytest_gpt_dist.training.strategy import Division
from pytest_gpt_dist.training.tensor_parallel_gradients import all_reduce_flat


class WholeModel:
    """A model that no other rank takes part in: what every strategy must be equal to."""

    data_rank = 0

    def __init__(self, division: Division) -> None:
        self.forward = TrainedForward(division, build_on_meta(division.model, stored_dtype(division.dtype)))
        materialize(self.forward.module, division.model, division.device, division.report)
        self.optimizer: Any = make_optimizer(division.recipe, self.parameters())

    @property
    def kind(self) -> str:
        """Return the type of the module."""
        return type(self.forward.module).__name__

    def parameters(self) -> list[nn.Parameter]:
        """Return every parameter."""
        return list(self.forward.module.parameters())

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        """Sum the gradients of all microbatches."""
        parts = []
        for each in microbatches:
            with self.forward.cast():
                part = token_loss(self.forward(each.tokens), each.labels, labels_in_step)
                backpropagate(part)
            parts.append(part.detach())
        return torch.stack(parts).sum()

    def norm_parts(self) -> list[NormPart]:
        """Return every gradient, whole."""
        return [NormPart([parameter.grad for parameter in self.parameters() if parameter.grad is not None])]

    def gradients(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every gradient."""
        for name, parameter in self.forward.module.named_parameters():
            if parameter.grad is not None:
                yield name, parameter.grad


class DataParallel(WholeModel):
    """A replica whose gradients are summed over all ranks in buckets, while the backward pass goes on."""

    def __init__(self, division: Division) -> None:
        super().__init__(division)
        self.data_rank = dist.get_rank()
        self._world_size = dist.get_world_size()
        self._overlaps = division.tuning.overlap
        self._clock = division.clock
        if self._clock is not None:
            for parameter in self.parameters():
                parameter.register_post_accumulate_grad_hook(self._note_gradient)  # type: ignore[no-untyped-call]
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", FutureWarning
            )  # of a name that older versions of torch do not have
            self._replica = DistributedDataParallel(
                self.forward,
                gradient_as_bucket_view=True,
                # They are a function of the configuration; by default every forward pass would broadcast them.
                broadcast_buffers=False,
                bucket_cap_mb=division.bucket_mb,
            )
        compress(self._replica, division.tuning)

    @property
    def kind(self) -> str:
        """Return the type of what wraps the module."""
        return type(self._replica).__name__

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        """Sum the gradients of all microbatches, and with the last one those of all ranks.

        DDP divides the sum by the number of ranks, of which the definition of the loss knows nothing.
        """
        parts = []
        for number, each in enumerate(microbatches, 1):
            reduces = self._overlaps and number == len(microbatches)
            with self.forward.cast(), nullcontext() if reduces else self._replica.no_sync():
                part = token_loss(self._replica(each.tokens), each.labels, labels_in_step)
                backpropagate(part * self._world_size if self._overlaps else part)
            parts.append(part.detach())
        if not self._overlaps:
            gradients = [each.grad for each in self.parameters() if each.grad is not None]
            all_reduce_flat(gradients, dist.group.WORLD)
        elif self._clock is not None:
            self._clock.note_collective(time.perf_counter() - self._last_gradient_s)
        return torch.stack(parts).sum()

    def _note_gradient(self, _: Tensor) -> None:
        """Note when the last gradient is there: from then on the backward pass waits for the reduction alone."""
        self._last_gradient_s = time.perf_counter()


class DividedOptimizer(DataParallel):
    """The same, each rank keeping the optimizer's state of some parameters alone, which it broadcasts after a step."""

    def __init__(self, division: Division) -> None:
        super().__init__(division)
        kind, numbers = optimizer_class(division.recipe)
        self.optimizer = ZeroRedundancyOptimizer(self.parameters(), optimizer_class=kind, **numbers)
