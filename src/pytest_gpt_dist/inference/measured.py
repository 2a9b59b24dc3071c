"""What a generation came to before it is written down: the values from which every saved entry is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_gpt_dist.host.machine import DeviceLimits, Machine
from pytest_gpt_dist.inference.case import Case
from pytest_gpt_dist.inference.metrics import ThroughputMetrics, throughput_metrics
from pytest_gpt_dist.measure.envelope import is_brief
from pytest_gpt_dist.measure.result import Launch
from pytest_gpt_dist.measure.statistics import LatencySummary
from pytest_gpt_dist.telemetry.summary import Telemetry


@dataclass(frozen=True)
class Measured:
    """A case, its launches, and what was seen of the machine; ``limits`` are () where nothing was timed.

    Times are pooled over the launches; what cannot be pooled, by rank or of the tokens, is the last launch's.
    """

    case: Case
    machine: Machine
    launches: Sequence[Launch]
    limits: Sequence[DeviceLimits]
    telemetry: Telemetry | None

    @cached_property
    def throughput_metrics(self) -> ThroughputMetrics | None:
        """Return throughputs and latencies; None where nothing was timed."""
        rounds = [round for launch in self.launches for round in launch.rounds]
        return throughput_metrics(rounds, self.case.requests, self.case.gpus) if rounds else None

    @property
    def rounds(self) -> int:
        """Return the number of timed rounds."""
        return sum(len(launch.rounds) for launch in self.launches)

    @property
    def max_logit_error(self) -> float | None:
        """Return the largest of all ranks and launches; None where there was no reference."""
        reports = [report for launch in self.launches for report in launch.reports]
        return max(
            (each.max_logit_error for each in reports if each.max_logit_error is not None), default=None
        )

    @property
    def collectives_per_step(self) -> dict[str, list[int]] | None:
        """Return what each rank communicates in a decode step, by kind; None where a rank cannot tell."""
        by_rank = [report.traffic_per_step for report in self.launches[-1].reports]
        if None in by_rank:
            return None
        kinds = ("all_reduce", "all_gather", "send", "recv")
        return {kind: [getattr(traffic, kind) for traffic in by_rank] for kind in kinds}

    @property
    def energy_j_per_token(self) -> float | None:
        """Return joules of the time of the rounds ÷ tokens generated in them; None where they were brief."""
        if self.telemetry is None or self.telemetry.energy_j is None or is_brief(self.launches):
            return None
        return self.telemetry.energy_j / (
            self.rounds * sum(request.new_tokens for request in self.case.requests)
        )

    def figure(self, name: str) -> object:
        """Return a throughput or latency by its name, as it is saved; None where nothing was timed."""
        value = getattr(self.throughput_metrics, name, None)
        return value.as_dict() if isinstance(value, LatencySummary) else value
