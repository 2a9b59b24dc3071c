"""What a strategy of training is: a rule for the plan, and what divides a model by it on a rank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.tuning import PLAIN, Tuning

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from pytest_gpt_dist.training.clipping import NormPart
    from pytest_gpt_dist.training.microbatches import Microbatch
    from pytest_gpt_dist.training.optimizer import StepsParameters
    from pytest_gpt_dist.training.step_clock import StepClock
    from pytest_gpt_dist.training.trained_model import TrainedModel


class TrainingStrategy(Protocol):
    """A named rule from a device count to a plan, and what carries it out.

    The controller makes it without torch, so whatever needs torch is behind ``divider``.
    """

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    @property
    def divider(self) -> str:
        """Return the import path ``package.module:attribute`` of its ``Divider``, resolved on the ranks."""
        ...

    def plan(self, gpus: int) -> ParallelPlan:
        """Return the plan for a number of devices of at least 1; its world size is that number.

        Raises:
            UsageError: when the rule has no plan for that number.
        """
        ...


@dataclass(frozen=True)
class Division:
    """What is divided, how, and what trains it; the same on every rank, but for the device.

    Attributes:
        model: which model.
        plan: the degrees of the world, and what of the state is divided.
        recipe: optimizer and schedule.
        dtype: in which ranks compute. In 16 bits the weights that the optimizer changes are in float32.
        device: of this rank.
        checkpointing: every how many layers are computed again in the backward pass; 0 for none.
        bucket_mb: largest bucket of gradients that are reduced together; None for the library's own.
        tuning: how the library works.
        clock: told how long libraries wait that no function of torch's shows; None for nobody.
        report: told how many tensors of how many are filled.
    """

    model: TrainedModel
    plan: ParallelPlan
    recipe: Recipe
    dtype: str
    device: torch.device
    checkpointing: int = 0
    bucket_mb: int | None = None
    tuning: Tuning = PLAIN
    clock: StepClock | None = None
    report: Callable[[int, int], None] | None = None


class Trainee(Protocol):
    """A model divided over ranks, on one of them, with what steps its parameters."""

    @property
    def kind(self) -> str:
        """Return the type of the module that is trained, which shows what really divides it."""
        ...

    @property
    def data_rank(self) -> int:
        """Return which of the data-parallel ranks this one is; those of one replica train on the same rows."""
        ...

    @property
    def optimizer(self) -> StepsParameters:
        """Return what steps the parameters; made after they were divided."""
        ...

    def parameters(self) -> Sequence[Tensor]:
        """Return the parameters that this rank steps, each once."""
        ...

    def forward_backward(self, microbatches: Sequence[Microbatch], labels_in_step: int) -> Tensor:
        """Leave in the parameters the gradients of the whole step, reduced over ranks, as the optimizer takes them.

        Returns:
            This rank's part of the loss: summed over all ranks of the world, the parts are the loss.
        """
        ...

    def norm_parts(self) -> Sequence[NormPart]:
        """Return the gradients by the ranks over which they are divided."""
        ...

    def gradients(self) -> Iterator[tuple[str, Tensor]]:
        """Yield whole gradients by their names in checkpoints, every rank of a group in the same order.

        All ranks together yield every tensor of the model; several may yield the same one.
        """
        ...


@runtime_checkable
class GathersParameters(Protocol):
    """A trainee that holds slices of parameters between steps, and whole ones for a while within a step."""

    def gathered_bytes(self) -> int:
        """Return the bytes of whole parameters that are alive at this moment."""
        ...


class Divider(Protocol):
    """Makes the trainee of this rank; a class or a function."""

    def __call__(self, division: Division) -> Trainee:
        """Divide a model; every rank of the world does at once."""
        ...
