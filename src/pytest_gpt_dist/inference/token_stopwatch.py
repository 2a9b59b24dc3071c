"""Times of a round on a rank: when its batches start and when each token exists."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from pytest_gpt_dist.inference.engines.protocol import Batch, Microbatch
from pytest_gpt_dist.inference.times import BatchTimes

Mark = float | torch.cuda.Event


@dataclass
class _Running:
    batch: Batch
    start: Mark
    tokens: list[list[Mark]] = field(default_factory=list)


class RoundStopwatch:
    """Marks of one round, taken on the host's clock or, on CUDA, as events in the stream.

    Events are read after the round, so that marking never makes the host wait for the device.
    """

    def __init__(self, device: torch.device) -> None:
        cuda = device.type == "cuda"
        self._mark: Callable[[], Mark] = _record_event if cuda else time.perf_counter
        self._running: list[_Running] = []

    def begin(self, batch: Batch) -> None:
        """Note that the work on a batch starts."""
        self._running.append(_Running(batch, self._mark(), [[] for _ in batch.microbatches]))

    def token(self, microbatch: Microbatch) -> None:
        """Note that the next token of every request of the microbatch exists."""
        running = self._running[-1]
        running.tokens[running.batch.microbatches.index(microbatch)].append(self._mark())

    def read(self) -> tuple[BatchTimes, ...]:
        """Return what was marked; on CUDA only after the device was synchronised."""
        return tuple(
            BatchTimes(
                tuple(
                    tuple(request.index for request in micro.requests) for micro in running.batch.microbatches
                ),
                tuple(tuple(_elapsed_s(running.start, mark) for mark in marks) for marks in running.tokens),
            )
            for running in self._running
        )


def _record_event() -> Mark:
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


def _elapsed_s(start: Mark, end: Mark) -> float:
    if isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        return float(start.elapsed_time(end)) / 1e3
    assert isinstance(start, float)
    assert isinstance(end, float)
    return end - start
