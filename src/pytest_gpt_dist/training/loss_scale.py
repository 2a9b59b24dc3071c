"""The factor of the loss in float16, in which gradients that are small would vanish: dynamic loss scaling, pure.

The words and the rule are DeepSpeed's (``runtime/fp16/loss_scaler.py``). A step whose gradients overflow is none: its
rows are trained on again with the next scale, so that steps stay those of one process.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LossScaling:
    """How the loss is scaled.

    Attributes:
        fixed: the scale; 0 for one that adapts.
        initial_power: of two, which an adapting scale begins with.
        window: steps without an overflow after which the scale doubles.
        hysteresis: overflows, one without a doubling between them, before the scale is halved.
        minimum: the smallest scale.
    """

    fixed: float = 0.0
    initial_power: int = 16
    window: int = 1000
    hysteresis: int = 2
    minimum: float = 1.0


class LossScaleError(Exception):
    """Gradients overflow with the smallest scale that is allowed."""


class LossScaler:
    """The scale of each step, as those before it went. Every rank has its own, and all are the same.

    Attributes:
        scale: of the next attempt.
        skipped: attempts that overflowed so far.
    """

    def __init__(self, scaling: LossScaling) -> None:
        self._scaling = scaling
        self._patience = scaling.hysteresis
        self._good = 0
        self.scale = scaling.fixed or 2.0**scaling.initial_power
        self.skipped = 0

    def update(self, *, overflowed: bool) -> None:
        """Take notice of an attempt.

        Raises:
            LossScaleError: when no smaller scale is left to try.
        """
        if not overflowed:
            self._good += 1
            if not self._scaling.fixed and self._good % self._scaling.window == 0:
                self.scale *= 2
                self._patience = self._scaling.hysteresis
            return
        self.skipped += 1
        self._good = 0
        if self._scaling.fixed or self.scale <= self._scaling.minimum:
            kind = "fixed" if self._scaling.fixed else "smallest"
            raise LossScaleError(f"gradients overflow in float16 with the {kind} loss scale {self.scale:g}")
        if self._patience > 1:
            self._patience -= 1
        else:
            self.scale = max(self.scale / 2, self._scaling.minimum)
