"""On a rank: warm-up and timed rounds, in step with all other ranks of the world."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
import torch.distributed as dist

from pytest_gpt_dist.cluster.rank import report_progress
from pytest_gpt_dist.host.device import synchronize
from pytest_gpt_dist.measure.rounds import Reading, Timing
from pytest_gpt_dist.measure.statistics import enough_rounds, is_due
from pytest_gpt_dist.measure.yardstick import Yardstick

_log = logging.getLogger(__name__)
OutcomeT = TypeVar("OutcomeT")
OutcomeT_co = TypeVar("OutcomeT_co", covariant=True)


class RoundWork(Protocol[OutcomeT_co]):
    """What a rank does in a round; its methods are called in this order, once a round."""

    def prepare(self) -> None:
        """Make ready what the round needs; not timed."""
        ...

    def run(self) -> None:
        """Do the work of the round; timed until the device has finished it."""
        ...

    def outcome(self) -> OutcomeT_co:
        """Return what came of it; not timed."""
        ...


@dataclass(frozen=True)
class TimedRound(Generic[OutcomeT]):
    """A round on one rank: its own seconds, from when all ranks were ready, and what came of it."""

    seconds: float
    outcome: OutcomeT


@dataclass(frozen=True)
class TimedRounds(Generic[OutcomeT]):
    """The rounds after the warm-up.

    Attributes:
        rounds: in their order.
        span_s: when they began and ended, on the host's monotonic clock.
        yardstick: readings before, between and after them; () where there is no yardstick.
    """

    rounds: tuple[TimedRound[OutcomeT], ...]
    span_s: tuple[float, float]
    yardstick: tuple[Reading, ...] = ()


def run_rounds(
    work: RoundWork[OutcomeT],
    device: torch.device,
    timing: Timing | None,
    yardstick: Yardstick | None = None,
) -> TimedRounds[OutcomeT]:
    """Return the rounds of a launch, as many on every rank; without ``timing`` a single one.

    All ranks begin a round when the last one is ready, and agree on the slowest rank's seconds, by which
    ``enough_rounds`` ends them. The ``yardstick`` is read before the first and after the last round, and between them
    as often as the rounds pay for.
    """
    with _without_collection():
        warmup = timing.warmup if timing else 0
        for number in range(1, warmup + 1):
            report_progress("warm-up", number, warmup)
            warm = one_round(work, device)
            _log.info("warm-up %d: %.6f s", number, warm.seconds)
        rounds: list[TimedRound[OutcomeT]] = []
        slowest_s: list[float] = []
        readings = _Readings(yardstick)
        readings.take()
        began_s = time.monotonic()
        elapsed_s = 0.0
        while not slowest_s or (timing and not enough_rounds(slowest_s, elapsed_s, timing)):
            report_progress("round", len(rounds) + 1, timing.rounds or 0 if timing else 1)
            rounds.append(one_round(work, device))
            _log.info("round %d: %.6f s", len(rounds), rounds[-1].seconds)
            round_s, elapsed_s = largest(rounds[-1].seconds, time.monotonic() - began_s)
            slowest_s.append(round_s)
            readings.take_if_due(sum(slowest_s))
        span_s = began_s, time.monotonic()
        readings.take()
        return TimedRounds(tuple(rounds), span_s, tuple(readings.taken))


class _Readings:
    """What a yardstick has shown in a launch; all ranks share the seconds by which they decide."""

    def __init__(self, yardstick: Yardstick | None) -> None:
        self._yardstick = yardstick
        self.taken: list[Reading] = []

    def take(self) -> None:
        """Read it now."""
        if self._yardstick is not None and (reading := self._yardstick.read()) is not None:
            self.taken.append(reading)

    def take_if_due(self, rounds_s: float) -> None:
        """Read it where rounds of that length in total pay for it."""
        if self.taken:
            spent_s = sum(reading.seconds for reading in self.taken[1:])
            if is_due(spent_s, self.taken[-1].seconds, rounds_s):
                self.take()


def largest(*values: float) -> list[float]:
    """Return of each value the largest of all ranks."""
    shared = torch.tensor([float(value) for value in values], dtype=torch.float64)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    found: list[float] = shared.tolist()
    return found


def anywhere(here: bool) -> bool:
    """Return whether it is so on any rank."""
    return largest(float(here)) != [0.0]


def make_ready(work: RoundWork[Any], device: torch.device) -> None:
    """Prepare a round, and wait until every rank has done so."""
    work.prepare()
    gc.collect()
    synchronize(device)
    largest(0.0)


def one_round(work: RoundWork[OutcomeT], device: torch.device) -> TimedRound[OutcomeT]:
    """Return a round that all ranks begin together, and what came of it."""
    make_ready(work, device)
    start_s = time.perf_counter()
    work.run()
    synchronize(device)
    seconds = time.perf_counter() - start_s
    return TimedRound(seconds, work.outcome())


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep garbage collection out of rounds; between them only what is new is looked at, which takes no time."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
