"""A case made concrete: everything that decides its numbers, resolved before any rank starts."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.parallel import Layout
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.batches import BatchPlan
from pytest_gpt_dist.training.messages import TrainingWork
from pytest_gpt_dist.training.workload import TrainingWorkload


@dataclass(frozen=True)
class TrainingCase:
    """Strategy × device count × workload.

    Attributes:
        strategy: its name, or the layout's id where degrees were given outright.
        plan: what the strategy makes of the device count.
        degenerate: the earlier strategy that has the same plan.
        engine: what executes it.
        divider: import path of what divides the model, resolved on the ranks.
        workload: as asked for.
        work: what is trained, whoever divides it.
        batches: how rows are dealt.
        model_name: as it is saved.
        model_content: hash of the model's files where it has any.
    """

    strategy: str
    plan: ParallelPlan
    degenerate: str | None
    engine: str
    divider: str
    workload: TrainingWorkload
    work: TrainingWork
    batches: BatchPlan
    model_name: str
    model_content: str | None = None

    def __str__(self) -> str:
        return f"{self.strategy} on {self.plan}, {self.batches.rows} rows a step"

    @property
    def layout(self) -> Layout:
        """Return the degrees of its world."""
        return self.plan.layout

    @property
    def gpus(self) -> int:
        """Return the number of its ranks."""
        return self.plan.world_size

    @property
    def dtype(self) -> str:
        """Return the number format in which its ranks compute."""
        return self.workload.dtype

    @property
    def is_exact(self) -> bool:
        """Return whether it is to compute one process's gradients; compressed ones are others by intent."""
        return self.work.tuning.compression == "none" or self.gpus == 1

    @property
    def weights(self) -> str:
        """Return ``random`` or ``pretrained``."""
        return "random" if self.work.model.folder is None else "pretrained"

    @property
    def model_identity(self) -> str:
        """Return what is the same for the same model, wherever its files are and whatever they are called."""
        return self.model_content or self.model_name

    @property
    def row_lengths(self) -> tuple[int, ...]:
        """Return the tokens of each row of the first step, without padding."""
        return tuple(self.work.samples.length(row) for row in self.batches.of_world(0))

    @property
    def label_tokens(self) -> int:
        """Return the label tokens of the first step, in the whole world."""
        return sum(self.row_lengths) - self.batches.rows
