"""On a rank: a training, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.clipping import clip_by, total_norm
from pytest_gpt_dist.training.microbatches import Microbatch, SampleRows, label_tokens, make_microbatches
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.step_clock import StepClock
from pytest_gpt_dist.training.strategy import Trainee


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to on this rank: its part of the loss, the norm of the whole gradient before clipping."""

    loss_part: Tensor
    norm: Tensor
    labels: int


class Training:
    """Steps one after the other, each on the next rows, from the model's untouched weights on.

    ``observe`` is called once a step between the backward pass and clipping, when gradients are whole and as they are.
    """

    def __init__(
        self,
        trainee: Trainee,
        samples: SampleRows,
        batches: BatchPlan,
        recipe: Recipe,
        device: torch.device,
        *,
        clock: StepClock | None = None,
    ) -> None:
        self.trainee = trainee
        self._samples = samples
        self._batches = batches
        self._recipe = recipe
        self._device = device
        self._clock = clock or StepClock()
        self._step = 0
        self._microbatches: list[Microbatch] = []
        self._labels = 0

    def load(self) -> None:
        """Make the microbatches of the next step."""
        with self._clock.part("loading"):
            self._microbatches = make_microbatches(
                self._samples, self._batches, self._step, self.trainee.data_rank, self._device
            )
            self._labels = label_tokens(self._samples, self._batches.of_world(self._step))

    def step(self, observe: Callable[[], None] | None = None) -> StepOutcome:
        """Train on the microbatches that were loaded: forward, backward, clipping, optimizer."""
        trainee, recipe = self.trainee, self._recipe
        loss_part = trainee.forward_backward(self._microbatches, self._labels)
        if observe is not None:
            observe()
        with self._clock.part("optimizer"):
            parts = trainee.norm_parts()
            norm = total_norm(parts, self._device)
            if recipe.clip is not None:
                clip_by(norm, recipe.clip, [gradient for part in parts for gradient in part.gradients])
            for group in trainee.optimizer.param_groups:
                group["lr"] = recipe.lr_at(self._step)
            trainee.optimizer.step()
            trainee.optimizer.zero_grad()
        self._step += 1
        return StepOutcome(loss_part, norm, self._labels)
