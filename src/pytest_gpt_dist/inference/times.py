"""What a timed round leaves behind, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gpt_dist.measure.time_lost import Losses


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
    losses: Losses | None = None


class Summary(float):
    """A latency in seconds: the mean as a number, with its percentiles."""

    p50: float
    p95: float
    p99: float

    def __new__(cls, mean: float, p50: float, p95: float, p99: float) -> Summary:
        """A float that is the mean."""
        summary = super().__new__(cls, mean)
        summary.p50, summary.p95, summary.p99 = p50, p95, p99
        return summary

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return float(self)

    def as_dict(self) -> dict[str, float]:
        """As it is saved: ``mean``, ``p50``, ``p95``, ``p99``."""
        return {"mean": self.mean, "p50": self.p50, "p95": self.p95, "p99": self.p99}

    def __getnewargs__(self) -> tuple[float, float, float, float]:  # type: ignore[override]
        return self.mean, self.p50, self.p95, self.p99
