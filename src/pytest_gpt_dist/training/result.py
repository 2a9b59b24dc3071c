"""What a training came to, for who asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_gpt_dist.measure.result import Result
from pytest_gpt_dist.measure.statistics import LatencySummary
from pytest_gpt_dist.parallel import Layout


@dataclass(frozen=True, kw_only=True)
class TrainingResult(Result):
    """A checked training.

    ``output`` holds losses and gradient norms of the checked steps, which begin with the untouched weights. ``step_s``
    is seconds of a step, a number that is their mean and carries ``p50``, ``p95`` and ``p99``; ``memory_bytes`` is by
    rank and kind.
    """

    tokens_per_s: float | None = None
    step_s: LatencySummary | None = None
    mfu: float | None = None
    memory_bytes: list[dict[str, int | None]]

    @property
    def losses(self) -> list[float]:
        """Return the loss of each step: the sum over label tokens ÷ their number in the whole world."""
        losses: list[float] = self.output["losses"]
        return losses

    @property
    def grad_norms(self) -> list[float]:
        """Return the norm of the whole model's gradient in each step, before clipping."""
        norms: list[float] = self.output["grad_norms"]
        return norms

    @classmethod
    def of(cls, info: dict[str, Any], output: Any, samples: tuple[float, ...]) -> TrainingResult:
        """Return the result that these entries make. KeyError or TypeError where they make none."""
        step_s = info["step_s"]
        return cls(
            output=output,
            layout=Layout(**info["layout"]),
            extra_info=info,
            samples=samples,
            tokens_per_s=info["tokens_per_s"],
            step_s=None if step_s is None else LatencySummary(**step_s),
            mfu=info["mfu"],
            memory_bytes=info["memory_bytes"],
            speedup=info["speedup"],
            efficiency=info["efficiency"],
        )
