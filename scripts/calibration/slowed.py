"""The native engine with real work on top: what a change that makes each prefill a little longer does to a round.

Registered by the pool as ``slower2`` to ``slower20``. How much longer a round takes is what the pool measures.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch

from pytest_gpt_dist.inference.engines.native import NativeEngine
from pytest_gpt_dist.inference.engines.protocol import (
    Batch,
    Microbatch,
    ModelSource,
    Sampler,
    Stopwatch,
)
from pytest_gpt_dist.inference.mesh import Mesh
from pytest_gpt_dist.model.packing import linear, pack

_ROWS_PER_SHARE = 37_000
"""Rows of the model's width by which to multiply a prompt for as long as its prefill takes, and the steps after it.

The layers of gpt2-mini have 7.4 million parameters and are 320 wide: 23,000 rows. Attention, norms and decode steps
take half as long again.
"""


class Slower(NativeEngine):
    """Multiplies one more matrix in every prefill, before the token is chosen."""

    share: ClassVar[float]

    def __init__(
        self, source: ModelSource, mesh: Mesh, report: Callable[[int, int], None] | None = None
    ) -> None:
        super().__init__(source, mesh, report)
        self._extra = pack(torch.ones(round(self.share * _ROWS_PER_SHARE), source.config.dimensions.hidden))

    def generate(
        self, batches: Sequence[Batch], sampler: Sampler, stopwatch: Stopwatch | None = None
    ) -> dict[int, list[int]]:
        """Generate tokens; see :class:`~pytest_gpt_dist.inference.engines.protocol.Engine`."""

        def choose(microbatch: Microbatch, step: int, logits: torch.Tensor) -> torch.Tensor:
            if step == 0:
                rows = len(microbatch.requests) * microbatch.prompt_tokens
                linear(torch.ones(rows, self._extra.shape[1]), self._extra)
            return sampler(microbatch, step, logits)

        return super().generate(batches, choose, stopwatch)


class Slower2(Slower):
    """By about 2%."""

    share = 0.02


class Slower3(Slower):
    """By about 3%."""

    share = 0.03


class Slower5(Slower):
    """By about 5%."""

    share = 0.05


class Slower10(Slower):
    """By about 10%."""

    share = 0.10


class Slower20(Slower):
    """By about 20%."""

    share = 0.20
