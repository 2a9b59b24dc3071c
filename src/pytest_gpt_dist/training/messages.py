"""What the controller asks of the ranks of a training, and what they answer: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_gpt_dist.measure.rounds import Reading, Timing
from pytest_gpt_dist.parallel.plan import ParallelPlan
from pytest_gpt_dist.parallel.training_state import StateBytes
from pytest_gpt_dist.parallel.training_traffic import TrainingTraffic
from pytest_gpt_dist.training.batches import BatchPlan, Samples
from pytest_gpt_dist.training.recipe import Recipe
from pytest_gpt_dist.training.step_times import StepTimes
from pytest_gpt_dist.training.synthetic import SyntheticSamples
from pytest_gpt_dist.training.trained_model import TrainedModel
from pytest_gpt_dist.training.tuning import PLAIN, Tuning


@dataclass(frozen=True)
class TrainingWork:
    """What is trained, whoever divides it.

    Attributes:
        model: which model.
        samples: the rows, in their order.
        recipe: optimizer and schedule; it says how many steps are checked.
        dtype: in which ranks compute.
        checkpointing: every how many layers are computed again in the backward pass; 0 for none.
        bucket_mb: largest bucket of gradients that are reduced together; None for the library's own.
        tuning: how the library that divides it works.
    """

    model: TrainedModel
    samples: Samples | SyntheticSamples
    recipe: Recipe
    dtype: str
    checkpointing: int = 0
    bucket_mb: int | None = None
    tuning: Tuning = PLAIN


@dataclass(frozen=True)
class ReferenceJob:
    """Train on one process, on the rows of the whole world; gradients of step 1 go to the file ``path``."""

    work: TrainingWork
    batches: BatchPlan
    path: str


@dataclass(frozen=True)
class TrainingReference:
    """What one process came to.

    Attributes:
        path: the file of the gradients of step 1, by name.
        losses: of each step.
        norms: of the whole gradient of each step, before clipping.
        gradient_error: in 16 bits, how far the worst tensor of one process in that format is from float32; else None.
        loss_error: in 16 bits, how far its worst loss is; else None.
        parameters_path: in float64, the file of the parameters after the last step, by name; else None.
        parameters_norm: of all of them.
    """

    path: str
    losses: tuple[float, ...]
    norms: tuple[float, ...]
    gradient_error: float | None = None
    loss_error: float | None = None
    parameters_path: str | None = None
    parameters_norm: float = 0.0


@dataclass(frozen=True)
class TrainingJob:
    """One case for one launch. ``timing`` None takes a single step after the checks, untimed.

    Attributes:
        divider: import path of what divides the model.
        plan: the degrees of the world, and what of the state is divided.
        work: what is trained.
        batches: how rows are dealt.
        reference: what it must be equal to; None where no process can hold the model.
        timing: how many rounds.
    """

    divider: str
    plan: ParallelPlan
    work: TrainingWork
    batches: BatchPlan
    reference: TrainingReference | None
    timing: Timing | None


@dataclass(frozen=True)
class TimedStep:
    """A timed step on one rank: its own seconds, and those of its parts where a clock of the host can tell."""

    seconds: float
    labels: int
    times: StepTimes | None = None


@dataclass(frozen=True)
class TrainingReport:
    """What a rank found.

    Attributes:
        problem: why the case may have no numbers, in a line; None if nothing is wrong.
        kind: type of the module that was trained.
        losses: of the checked steps, of the whole world.
        norms: of the whole gradient of these steps, before clipping, as this rank computed it.
        gradient_error: how far the worst tensor is from one process's; None without a reference.
        gradient_total_error: how far all together are.
        loss_error: how far the worst loss is.
        loss_gap: how far the last checked loss is above one process's, where gradients are inexact by intent.
        skipped_steps: attempts at steps that overflowed and were made again with a smaller loss scale.
        parameter_error: in float64, how far the worst tensor is after the last checked step.
        held: bytes of state in a steady step.
        gathered: most bytes of whole parameters that were alive at once in that step.
        traffic: collectives of a steady step.
        unproven: of ``state`` and ``traffic`` what has no closed form to be compared with.
        rounds: the timed steps.
        timed_span_s: when they began and ended, on the host's monotonic clock.
        yardstick: readings beside them.
        peak_memory_bytes: most that the rank held in the timed steps.
        engine_configuration: what was chosen among the libraries' own ways of working.
    """

    problem: str | None
    kind: str = ""
    losses: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()
    gradient_error: float | None = None
    gradient_total_error: float | None = None
    loss_error: float | None = None
    parameter_error: float | None = None
    loss_gap: float | None = None
    skipped_steps: int = 0
    held: StateBytes | None = None
    gathered: int | None = None
    traffic: TrainingTraffic | None = None
    unproven: tuple[str, ...] = ()
    rounds: tuple[TimedStep, ...] = ()
    timed_span_s: tuple[float, float] | None = None
    yardstick: tuple[Reading, ...] = ()
    peak_memory_bytes: int | None = None
    engine_configuration: dict[str, str | int | bool] = field(default_factory=dict)
