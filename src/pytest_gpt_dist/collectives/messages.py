"""What the controller asks of the ranks of a collective, and what they answer: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_gpt_dist.collectives.bandwidth import Collective
from pytest_gpt_dist.measure.rounds import Reading, Timing


@dataclass(frozen=True)
class CollectiveJob:
    """One case for one launch; ``timing`` None checks the result and times nothing."""

    collective: Collective
    dtype: str
    timing: Timing | None


@dataclass(frozen=True)
class OperationRound:
    """A timed round on one rank: seconds of one operation, the mean of those of the round."""

    seconds: float


@dataclass(frozen=True)
class CollectiveReport:
    """What a rank found.

    Attributes:
        problem: what is wrong with the result, in a line; None if nothing is.
        operations: of a round.
        rounds: the timed ones.
        overlap: which share of communication or computation, the shorter one, is hidden when both run together.
        timed_span_s: when the rounds began and ended, on the host's monotonic clock.
        yardstick: readings beside them.
        peak_memory_bytes: most that the rank held.
        engine_configuration: nothing: torch's own way is taken.
    """

    problem: str | None
    operations: int = 0
    rounds: tuple[OperationRound, ...] = ()
    overlap: float | None = None
    timed_span_s: tuple[float, float] | None = None
    yardstick: tuple[Reading, ...] = ()
    peak_memory_bytes: int | None = None
    engine_configuration: dict[str, str | int | bool] = field(default_factory=dict)
