"""Which layers of a training each pipeline stage has, in which order, and how long ranks wait: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.parallel import Dimensions, Span, balance


@dataclass(frozen=True, slots=True)
class Schedule:
    """The order of microbatches over stages.

    Attributes:
        name: as plans have it.
        kind: its class in ``torch.distributed.pipelining``.
        stages_per_rank: number of stages of each rank.
        turns_back: the second stages run from the last rank to the first, which so has both ends of the model.
        splits_backward: gradients of weights are computed apart from those of inputs.
    """

    name: str
    kind: str
    stages_per_rank: int = 1
    turns_back: bool = False
    splits_backward: bool = False

    def stages_of(self, rank: int, ranks: int) -> tuple[int, ...]:
        """Return the numbers of a rank's stages."""
        if self.turns_back:
            return rank, 2 * ranks - 1 - rank
        return tuple(rank + turn * ranks for turn in range(self.stages_per_rank))

    def last_rank(self, ranks: int) -> int:
        """Return the rank of the last stage, which has the head and the loss."""
        return 0 if self.turns_back else ranks - 1

    def bubble(self, ranks: int, microbatches: int) -> float:
        """Return the share of a step in which a rank waits, if all stages take as long and sending takes no time.

        Narayanan et al. 2021, section 2.2: ``(p - 1) ÷ (v m + p - 1)``. Where gradients of weights fill the gaps
        there is none, if forward pass and the two halves of the backward pass take as long (Qi et al. 2024).
        """
        if self.splits_backward:
            return 0.0
        return (ranks - 1) / (self.stages_per_rank * microbatches + ranks - 1)

    def check(self, ranks: int, microbatches: int) -> None:
        """Raise UsageError where the schedule has no order of so many microbatches."""
        if self.stages_per_rank == 1 or self.turns_back:
            return
        rounds = max(1, microbatches // ranks)
        if microbatches % rounds:
            raise UsageError(
                f"schedule {self.name}: {microbatches} microbatches do not divide into {rounds} rounds of {ranks}"
                " pipeline ranks or more; take a multiple of the ranks"
            )


GPIPE = Schedule("gpipe", "ScheduleGPipe")
ONE_F_ONE_B = Schedule("1f1b", "Schedule1F1B")
INTERLEAVED = Schedule("interleaved", "ScheduleInterleaved1F1B", stages_per_rank=2)
ZBV = Schedule("zbv", "ScheduleZBVZeroBubble", stages_per_rank=2, turns_back=True, splits_backward=True)
SCHEDULES = {each.name: each for each in (GPIPE, ONE_F_ONE_B, INTERLEAVED, ZBV)}


def training_stages(dimensions: Dimensions, count: int) -> tuple[Span, ...]:
    """Cut the layers into ``count`` stages, the slowest of which is as fast as it can be in training.

    The cost of a stage is the number of parameters in products: those of its layers, and on the last stage the head,
    which unlike in generation is multiplied with every token. An embedding costs nothing.

    Raises:
        UsageError: when there are more stages than layers.
    """
    size = dimensions
    attention = (2 * size.heads + 2 * size.kv_heads) * size.head_dim * size.hidden
    mlp = (3 if size.gated else 2) * size.hidden * size.mlp
    head = size.hidden * size.vocabulary
    return balance(size.layers, count, layer=attention + mlp, embedding=0, head=head)
