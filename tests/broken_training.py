"""Trainings that are wrong, each in one way that is easily made; none may have a number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from pytest_gpt_dist.training.clipping import NormPart, local
from pytest_gpt_dist.training.data_parallel import DataParallel, DividedOptimizer, WholeModel
from pytest_gpt_dist.training.forward import TrainedForward
from pytest_gpt_dist.training.fully_sharded import FullySharded, data_mesh
from pytest_gpt_dist.training.loss import backpropagate, token_loss
from pytest_gpt_dist.training.microbatches import Microbatch
from pytest_gpt_dist.training.model import blocks_of, build_on_meta, materialize
from pytest_gpt_dist.training.optimizer import make_optimizer
from pytest_gpt_dist.training.strategy import Division


class SkippedAllReduce(DataParallel):
    """Never reduces gradients: each rank trains on its own rows."""

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        with self._replica.no_sync():
            return WholeModel.forward_backward(self, microbatches, labels_in_step)


class MeanOfMeans(DataParallel):
    """Divides by the labels of each microbatch, as if all had as many."""

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        parts = []
        for number, each in enumerate(microbatches, 1):
            self._replica.require_backward_grad_sync = number == len(microbatches)
            here = int((each.labels >= 0).sum())
            part = token_loss(self._replica(each.tokens), each.labels, here) / len(microbatches)
            backpropagate(part)
            parts.append(part.detach() / self._world_size)
        return torch.stack(parts).sum()


class ScaledTwice(DataParallel):
    """Divides what is divided already once more by the number of microbatches, as pipelines with ``scale_grads`` do."""

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        loss = super().forward_backward(microbatches, labels_in_step)
        for parameter in self.parameters():
            assert parameter.grad is not None
            parameter.grad /= len(microbatches)
        return loss


class ReducedTooOften(DataParallel):
    """Reduces after every microbatch: right, but with more traffic than there should be."""

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        parts = []
        for each in microbatches:
            part = token_loss(self._replica(each.tokens), each.labels, labels_in_step)
            backpropagate(part * self._world_size)
            parts.append(part.detach())
        return torch.stack(parts).sum()


class LastMicrobatchOnly(FullySharded):
    """Drops the gradients of all microbatches but the last."""

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        loss = super().forward_backward(microbatches[:-1], labels_in_step)
        self.optimizer.zero_grad()
        return loss + super().forward_backward(microbatches[-1:], labels_in_step)


class OptimizerOfWholeTensors(FullySharded):
    """Makes the optimizer before the model is divided: it steps what nobody computes with."""

    def __init__(self, division: Division) -> None:
        super().__init__(division)
        forgotten = [torch.nn.Parameter(local(each.detach()).clone()) for each in self.parameters()]
        self.optimizer = make_optimizer(division.recipe, forgotten)


class WholeRoot(FullySharded):
    """Divides the blocks and leaves what is around them whole, which nobody reduces."""

    def __init__(self, division: Division) -> None:
        self.data_rank, self._world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._mesh = data_mesh(division.plan, division.device)
        module = build_on_meta(division.model, division.dtype)
        self.forward = TrainedForward(division, module)
        for block in blocks_of(module):
            fully_shard(block, mesh=self._mesh)
        materialize(module, division.model, division.device)
        self.optimizer = make_optimizer(division.recipe, self.parameters())

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        parts = []
        for each in microbatches:
            part = token_loss(self.forward(each.tokens), each.labels, labels_in_step)
            backpropagate(part * self._world_size)
            parts.append(part.detach())
        return torch.stack(parts).sum()


class OneUnit(FullySharded):
    """Divides the model as one unit: every step gathers all of it at once."""

    def units(self, module: nn.Module) -> list[nn.Module]:
        return []


class OwnNorm(FullySharded):
    """Takes the norm of its own slices for that of the whole gradient."""

    def norm_parts(self) -> list[NormPart]:
        return [NormPart(part.gradients) for part in super().norm_parts()]


class UndividedState(DividedOptimizer):
    """Keeps the optimizer's state of all parameters on every rank."""

    def __init__(self, division: Division) -> None:
        DataParallel.__init__(self, division)


class OtherWeights(DataParallel):
    """Begins with other weights than those that were asked for."""

    def __init__(self, division: Division) -> None:
        super().__init__(division)
        with torch.no_grad():
            self.parameters()[-1].mul_(1 + 1e-6)


class SecondStepForgotten(DataParallel):
    """Takes every step but the second one."""

    forgotten = 2

    def __init__(self, division: Division) -> None:
        super().__init__(division)
        step, self._number = self.optimizer.step, 0

        def counted() -> None:
            self._number += 1
            if self._number != self.forgotten:
                step()

        self.optimizer.step = counted


class LastStepForgotten(SecondStepForgotten):
    """Takes every checked step but the last one, whose parameters no loss shows."""

    forgotten = 6
