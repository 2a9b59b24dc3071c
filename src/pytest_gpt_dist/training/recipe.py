"""What a training does with gradients: optimizer, learning rate by step, clipping; plain values without torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Literal

from pytest_gpt_dist.training.loss_scale import LossScaling

OptimizerName = Literal["adamw", "sgd"]
Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers of an optimizer and of its schedule.

    Attributes:
        optimizer: ``adamw``, or ``sgd`` without momentum.
        lr: highest learning rate.
        betas: of AdamW.
        eps: of AdamW.
        weight_decay: of either.
        schedule: what becomes of the rate after the warm-up: it stays, or falls to 0 by the last step.
        warmup_steps: steps over which the rate rises linearly.
        warmup_min_lr: the rate from which it rises.
        clip: largest norm of the whole gradient; None for no clipping.
        steps: number of steps over which the schedule goes.
        scaling: of the loss, in float16 alone.
    """

    optimizer: OptimizerName = "adamw"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    warmup_min_lr: float = 0.0
    clip: float | None = 1.0
    steps: int = 20
    scaling: LossScaling | None = None

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, from 0; beyond the last step it stays what it was there."""
        step = min(step, self.steps - 1)
        if step < self.warmup_steps:
            share = (step + 1) / self.warmup_steps
            return self.warmup_min_lr + (self.lr - self.warmup_min_lr) * share
        if self.schedule == "constant":
            return self.lr
        share = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr * (1 - share if self.schedule == "linear" else (1 + cos(pi * share)) / 2)

    @property
    def states(self) -> int:
        """Return how many numbers the optimizer keeps for each parameter."""
        return 2 if self.optimizer == "adamw" else 0
