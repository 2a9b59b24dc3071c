"""What the controller asks of the ranks of a case, and what they answer: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_gpt_dist.inference.engines.protocol import Batch, ModelSource, Sampling
from pytest_gpt_dist.inference.times import BatchTimes
from pytest_gpt_dist.measure.rounds import Reading, Timing
from pytest_gpt_dist.parallel import Layout, Traffic
from pytest_gpt_dist.parallel.comm_time import CommTime

REFERENCE_FILES = ("logits.npy", "tokens.npy", "scale.npy")


@dataclass(frozen=True)
class ReferenceRow:
    """Where the reference of one request lies: row ``row`` of the arrays in the folder ``path``.

    These are ``logits.npy`` [row, step, vocabulary], ``tokens.npy`` [row, step] and ``scale.npy`` [row], the
    largest |logit| of the row.
    """

    path: str
    row: int


@dataclass(frozen=True)
class Check:
    """The reference by request index, how many forward passes to compare, and one device's own error."""

    rows: dict[int, ReferenceRow]
    steps: int
    own_error: float | None


@dataclass(frozen=True)
class CaseJob:
    """One case for one launch. ``batches`` are by replica; ``timing`` None runs the case once, untimed."""

    engine: str
    source: ModelSource
    layout: Layout
    batches: tuple[tuple[Batch, ...], ...]
    sampling: Sampling
    check: Check | None
    timing: Timing | None
    attention: str = "auto"


@dataclass(frozen=True)
class RankRound:
    """A round on one rank.

    Attributes:
        seconds: its own, from when all ranks were ready.
        batches: when tokens came, on the rank that speaks for its replica.
        comm_time: in communication; None where that is not known.
    """

    seconds: float
    batches: tuple[BatchTimes, ...]
    comm_time: CommTime | None = None


@dataclass(frozen=True)
class RankReport:
    """What one rank found. ``problem`` says why there are no numbers; then nothing was timed.

    ``parameter_bytes`` is None where the engine's library does not tell, ``traffic_per_step`` where it
    communicates by itself.
    """

    problem: str | None
    parameter_bytes: int | None
    engine_configuration: dict[str, str | int | bool] = field(default_factory=dict)
    traffic_per_step: Traffic | None = field(default_factory=Traffic)
    max_logit_error: float | None = None
    peak_memory_bytes: int | None = None
    tokens: dict[int, tuple[int, ...]] | None = None
    tokens_vary: bool = False
    rounds: tuple[RankRound, ...] = ()
    timed_span_s: tuple[float, float] | None = None
    yardstick: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class ReferenceJob:
    """What to compute: logits and greedy tokens of ``steps`` forward passes for each prompt."""

    source: ModelSource
    prompts: tuple[tuple[int, ...], ...]
    steps: int
    path: str


@dataclass(frozen=True)
class ReferenceReport:
    """Greedy tokens by prompt, and one device's errors in the workload's 16-bit format against float32.

    The errors are by prompt, relative to the largest |logit|; None for other formats.
    """

    tokens: tuple[tuple[int, ...], ...]
    own_errors: tuple[float, ...] | None


@dataclass(frozen=True)
class TransformersCheckJob:
    """One row of the reference, to be compared with transformers' model run over ``token_ids`` at once.

    The row's ``steps`` logits are those of the last ``steps`` of the ids.
    """

    source: ModelSource
    token_ids: tuple[int, ...]
    steps: int
    row: ReferenceRow
