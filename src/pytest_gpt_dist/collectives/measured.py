"""What a collective came to before it is written down: the values from which every saved entry is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_gpt_dist.collectives.case import CollectiveCase
from pytest_gpt_dist.measure.result import Launch
from pytest_gpt_dist.measure.statistics import LatencySummary, summarize


@dataclass(frozen=True)
class TimedOperation:
    """A round of the whole world: seconds of an operation on its slowest rank."""

    seconds: float
    overheads: None = None


@dataclass(frozen=True)
class Measured:
    """A case and its launches."""

    case: CollectiveCase
    launches: Sequence[Launch]

    @property
    def rounds(self) -> list[TimedOperation]:
        """Return the rounds of all launches."""
        return [round for launch in self.launches for round in launch.rounds]

    @cached_property
    def latency_s(self) -> LatencySummary | None:
        """Return seconds of an operation; None where nothing was timed."""
        return summarize([round.seconds for round in self.rounds]) if self.rounds else None

    @property
    def bus_bytes_per_s(self) -> float | None:
        """Return the bus bandwidth: that of the algorithm times the factor of the kind."""
        if self.latency_s is None:
            return None
        return self.case.collective.bytes / self.latency_s.mean * self.case.collective.bus_factor

    @property
    def overlap(self) -> float | None:
        """Return the share that is hidden behind computation, of the rank and launch that hides least."""
        shares = [report.overlap for launch in self.launches for report in launch.reports]
        return min((each for each in shares if each is not None), default=None)

    @property
    def operations(self) -> int | None:
        """Return how many operations a round of the last launch has; None where nothing was timed."""
        return self.launches[-1].reports[0].operations or None
