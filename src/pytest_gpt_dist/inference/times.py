"""What a timed round leaves behind, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.measure.time_lost import Overheads


@dataclass(frozen=True)
class BatchTimes:
    """When each token of a batch came, in seconds after the batch's start.

    ``tokens_s[m][t]`` belongs to token ``t`` of each of the requests ``requests[m]`` of microbatch ``m``.
    """

    requests: tuple[tuple[int, ...], ...]
    tokens_s: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Round:
    """One timed round of the whole world: its slowest rank, the batches of each replica, and what was lost."""

    seconds: float
    replicas: tuple[tuple[BatchTimes, ...], ...]
    overheads: Overheads | None = None
