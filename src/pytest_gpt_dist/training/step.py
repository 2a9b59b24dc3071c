"""On a rank: a training, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pytest_gpt_dist.measure.rank_profile import phase
from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.clipping import NormPart, clip_by, scale_by, total_norm
from pytest_gpt_dist.training.loss_scale import LossScaler
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
        self._scaler = None if recipe.scaling is None else LossScaler(recipe.scaling)
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
        loss_part, norm = self._gradients()
        if observe is not None:
            observe()
        with self._clock.part("optimizer"):
            if recipe.clip is not None:
                with phase("clipping"):
                    clip_by(norm, recipe.clip, _all_gradients(trainee.norm_parts()))
            for group in trainee.optimizer.param_groups:
                group["lr"] = recipe.lr_at(self._step)
            trainee.optimizer.step()
            trainee.optimizer.zero_grad()
        self._step += 1
        return StepOutcome(loss_part, norm, self._labels)

    @property
    def skipped(self) -> int:
        """Return how many attempts at steps overflowed so far."""
        return 0 if self._scaler is None else self._scaler.skipped

    def _gradients(self) -> tuple[Tensor, Tensor]:
        """Leave in the parameters gradients that have not overflowed; return the rank's part of the loss, and the norm.

        The norm of the whole gradient is the same on all ranks, so that they agree whether one has overflowed.
        """
        trainee = self.trainee
        while True:
            scale = 1.0 if self._scaler is None else self._scaler.scale
            # The loss is divided by the labels: by fewer of them it is larger. As a scale is a power of 2, exactly.
            labels: Any = self._labels if self._scaler is None else self._labels / scale
            with phase("forward"):
                loss_part = trainee.forward_backward(self._microbatches, labels)
            with self._clock.part("optimizer"), phase("clipping"):
                parts = trainee.norm_parts()
                if self._scaler is not None:
                    scale_by(1 / scale, _all_gradients(parts))
                norm = total_norm(parts, self._device)
                if self._scaler is None:
                    return loss_part, norm
                overflowed = not bool(norm.isfinite())
                self._scaler.update(overflowed=overflowed)
                if not overflowed:
                    return loss_part / scale, norm
                trainee.optimizer.zero_grad()


def _all_gradients(parts: Sequence[NormPart]) -> list[Tensor]:
    return [gradient for part in parts for gradient in part.gradients]
